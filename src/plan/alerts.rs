//! Alert rules of the command line.

use super::wrong::{WrongUsage, pointed};
use crate::alert::{Measure, Rule};
use crate::cli::Config;
use crate::model::text::Visible;

/// The rules of the command line.
pub(super) fn rules(config: &Config) -> Result<Vec<Rule>, WrongUsage> {
    let parse = |text: &String| {
        let wrong = |message: &str, column| {
            let message = Visible(message);
            let place = pointed(text, column);
            WrongUsage::new(format!("wrong alert: {message}\n{place}"))
        };
        let rule = Rule::parse(text).map_err(|error| wrong(&error.message, error.column))?;
        if rule.measure == Measure::Drops && !config.drops {
            return Err(wrong(
                "this alert needs the counts that --no-drops switches off: leave out --no-drops",
                0,
            ));
        }
        Ok(rule)
    };
    config.alerts.rules.iter().map(parse).collect()
}
