//! Alert rules of the command line.

use super::wrong::{WrongUsage, pointed};
use crate::alert::Rule;
use crate::cli::Config;
use crate::model::text::Visible;

/// The rules of the command line.
pub(super) fn rules(config: &Config) -> Result<Vec<Rule>, WrongUsage> {
    let parse = |text: &String| {
        Rule::parse(text).map_err(|error| {
            let message = Visible(&error.message);
            let place = pointed(text, error.column);
            WrongUsage::new(format!("wrong alert: {message}\n{place}"))
        })
    };
    config.alerts.rules.iter().map(parse).collect()
}
