//! The flags of all settings, made from the one table of them.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

use crate::config::{KEYS, Key, KeyKind};

/// What was typed for settings; defaults are not among it.
#[derive(Debug, Clone, Default)]
pub(super) struct SettingFlags(pub(super) Vec<(&'static str, Vec<String>)>);

fn flag(key: &'static Key) -> Arg {
    let arg = Arg::new(key.name)
        .long(key.flag())
        .value_name(key.value)
        .help(help(key))
        .help_heading("Settings");
    match key.kind {
        KeyKind::Value => arg.action(ArgAction::Set),
        KeyKind::List => arg.action(ArgAction::Append),
        KeyKind::Switch => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
    }
}

fn help(key: &Key) -> String {
    let default = match (key.default, key.local) {
        ("", _) => String::new(),
        (default, None) => format!(" [default: {default}]"),
        (default, Some(local)) => format!(" [default: {default}; with --local: {local}]"),
    };
    // Beside clap's own help texts, which are sentences.
    let mut help = key.help.to_owned();
    if let Some(first) = help.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    help + &default
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(KEYS.iter().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS {
            if matches.value_source(key.name) == Some(ValueSource::CommandLine) {
                let texts = matches.get_many::<String>(key.name).into_iter().flatten().cloned();
                self.0.push((key.name, texts.collect()));
            }
        }
        Ok(())
    }
}
