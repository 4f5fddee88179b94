//! Times on the command line.

use std::time::Duration;

/// A time such as `30s`, `1m 30s`, `500ms`; a bare number is seconds.
fn time(text: &str) -> Result<Duration, String> {
    let time = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.ok_or_else(|| "write a time such as 30s, 500ms or 2m".to_owned())
}

fn time_between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = time(text)?;
    if time < least || time > most {
        return Err(format!(
            "not between {} and {}",
            humantime::format_duration(least),
            humantime::format_duration(most)
        ));
    }
    Ok(time)
}

const HOUR: Duration = Duration::from_secs(3600);
/// As long as humantime takes ten years to be.
const TEN_YEARS: Duration = Duration::from_secs(315_576_000);

pub(super) fn delay(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(100), HOUR)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_millis(1), TEN_YEARS)
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_secs(1), HOUR * 24)
}

pub(super) fn after(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::ZERO, HOUR)
}

pub(super) fn active(text: &str) -> Result<Duration, String> {
    time_between(text, Duration::from_secs(1), HOUR)
}
