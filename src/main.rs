//! The program: command line in, exit status out.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use udptrack::app::Outcome;

fn main() -> ExitCode {
    udptrack::app::answer_shell();
    // A terminal that can only print lines gets lines.
    let terminal =
        io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let task = match udptrack::cli::parse(std::env::args_os(), terminal) {
        Ok(task) => task,
        Err(error) => {
            // Help and version go to standard output, errors to standard error. A closed pipe is not an error.
            let _ = if error.use_stderr() {
                let text = error.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                write!(io::stderr(), "udptrack: {text}")
            } else {
                error.print()
            };
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match udptrack::app::run(&task) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Rows) => ExitCode::from(3),
        Ok(Outcome::Alert) => ExitCode::from(4),
        Err(error) => {
            udptrack::app::say(format_args!("{error:#}"));
            if error.is::<udptrack::app::WrongUsage>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
