//! Alert rules of the command line.

use anyhow::Result;

use super::wrong::{WrongUsage, pointed};
use crate::alert::Rule;
use crate::cli::Config;
use crate::model::text::Visible;

/// The rules of the command line.
pub(crate) fn rules(config: &Config) -> Result<Vec<Rule>> {
    let parse = |text: &String| {
        Rule::parse(text).map_err(|error| {
            let message = Visible(&error.message);
            let place = pointed(text, error.column);
            WrongUsage::new(format!("wrong alert: {message}\n{place}")).into()
        })
    };
    config.alerts.rules.iter().map(parse).collect()
}
