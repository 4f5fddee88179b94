//! The program: command line in, exit status out.

use std::process::ExitCode;

fn main() -> ExitCode {
    let config = match udptrack::cli::parse(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => {
            // Help and version go to standard output, errors to standard error; a closed pipe is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match udptrack::app::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
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
