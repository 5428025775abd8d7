//! The sampling options of `run` and `chat`: flags on the command line, settings in a chat.

use std::error::Error as _;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser};
use whinchat::{Ending, GenerateOptions, Model, Sampling};

/// How tokens are chosen; what is not given comes from the model, else is neutral.
#[derive(Args, Clone, Default)]
pub(super) struct SamplingArgs {
    /// Most tokens to generate [default: 512]
    #[arg(long, short = 'n', value_name = "TOKENS", allow_negative_numbers = true, value_parser = whole::<usize>)]
    max_tokens: Option<usize>,
    #[command(flatten)]
    choice: ChoiceArgs,
    #[command(flatten)]
    penalties: PenaltyArgs,
    /// Makes the answer repeatable [default: by chance]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<u64>)]
    seed: Option<u64>,
    /// Added to a token's logit, as 17=-5; may be given several times.
    #[arg(long, value_name = "ID=BIAS", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
    /// End before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Do not end before so many tokens [default: 0]
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true, value_parser = whole::<usize>)]
    min_tokens: Option<usize>,
    /// Go on past the model's end tokens.
    #[arg(long)]
    ignore_eos: bool,
}

/// Which tokens may be chosen.
#[derive(Args, Clone, Default)]
struct ChoiceArgs {
    /// Lower is surer; 0 always takes the most likely token [default: the model's own, else 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = non_negative)]
    temperature: Option<f32>,
    /// Keep the k most likely tokens; 0 keeps all [default: the model's own, else 0]
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = whole::<usize>)]
    top_k: Option<usize>,
    /// Keep the most likely tokens until their probability reaches p [default: the model's own, else 1]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share)]
    top_p: Option<f32>,
    /// Keep tokens with at least this share of the best one's probability [default: the model's own, else 0]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share)]
    min_p: Option<f32>,
    /// Locally typical sampling; 1 is off [default: 1]
    #[arg(long, value_name = "P", allow_negative_numbers = true, value_parser = share)]
    typical_p: Option<f32>,
}

/// What is taken from tokens that occurred.
#[derive(Args, Clone, Default)]
struct PenaltyArgs {
    /// Penalty on tokens of the prompt and the answer; 1 is off [default: the model's own, else 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = positive)]
    repetition_penalty: Option<f32>,
    /// Subtracted from a token's logit for each occurrence in the answer [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = penalty)]
    frequency_penalty: Option<f32>,
    /// Subtracted once if it occurs in the answer [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = penalty)]
    presence_penalty: Option<f32>,
}

/// The same options as a line of their own.
#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// An option as a chat lists it.
pub(super) struct Setting {
    pub(super) name: String,
    /// Its value; empty if there is none.
    pub(super) value: String,
    /// Given by the person, not the model's or neutral.
    pub(super) given: bool,
    pub(super) help: String,
}

impl SamplingArgs {
    /// What is given; 512 tokens, if nothing else is said.
    pub(super) fn options(&self) -> GenerateOptions {
        let (choice, penalties) = (&self.choice, &self.penalties);
        let sampling = Sampling {
            temperature: choice.temperature,
            top_k: choice.top_k,
            top_p: choice.top_p,
            min_p: choice.min_p,
            typical_p: choice.typical_p,
            repetition_penalty: penalties.repetition_penalty,
            frequency_penalty: penalties.frequency_penalty,
            presence_penalty: penalties.presence_penalty,
            logit_bias: self.logit_bias.clone(),
            seed: self.seed,
            ..Sampling::default()
        };
        let ending = Ending {
            max_tokens: Some(self.max_tokens.unwrap_or(512)),
            min_tokens: self.min_tokens.unwrap_or(0),
            ignore_eos: self.ignore_eos,
            strings: self.stop.clone(),
            ..Ending::default()
        };
        GenerateOptions { sampling, ending }
    }

    /// The options of an answer in a chat: as long as the context allows, if nothing else is said.
    pub(super) fn chat_options(&self) -> GenerateOptions {
        let mut options = self.options();
        options.ending.max_tokens = self.max_tokens;
        options
    }

    /// Whether what is given fits together and the model.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn check(&self, model: &Model) -> anyhow::Result<()> {
        let vocab = model.tokenizer().vocab();
        if let Some((id, bias)) = self.logit_bias.iter().find(|(id, _)| *id as usize >= vocab) {
            let last = vocab.saturating_sub(1);
            anyhow::bail!("--logit-bias {id}={bias}: token {id} is not in the model's vocabulary (0 to {last})");
        }
        if let (Some(min), Some(max)) = (self.min_tokens, self.max_tokens.filter(|max| self.min_tokens > Some(*max))) {
            anyhow::bail!("--min-tokens {min} is more than --max-tokens {max}");
        }
        Ok(())
    }

    /// What is given, in the words of the command line.
    fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        fn one<T: ToString>(value: &Option<T>) -> Vec<String> {
            value.iter().map(ToString::to_string).collect()
        }
        vec![
            ("max-tokens", one(&self.max_tokens)),
            ("temperature", one(&self.choice.temperature)),
            ("top-k", one(&self.choice.top_k)),
            ("top-p", one(&self.choice.top_p)),
            ("min-p", one(&self.choice.min_p)),
            ("typical-p", one(&self.choice.typical_p)),
            ("repetition-penalty", one(&self.penalties.repetition_penalty)),
            ("frequency-penalty", one(&self.penalties.frequency_penalty)),
            ("presence-penalty", one(&self.penalties.presence_penalty)),
            ("seed", one(&self.seed)),
            ("logit-bias", self.logit_bias.iter().map(|(id, bias)| format!("{id}={bias}")).collect()),
            ("stop", self.stop.clone()),
            ("min-tokens", one(&self.min_tokens)),
            ("ignore-eos", if self.ignore_eos { vec!["on".into()] } else { Vec::new() }),
        ]
    }

    /// With `name` set to `value`; empty takes back what is given. Options that may be given several times are added to.
    ///
    /// # Errors
    /// If there is no such option or it does not take the value.
    pub(super) fn with(&self, name: &str, value: &str) -> Result<SamplingArgs, String> {
        let name = name.trim_start_matches('-').replace('_', "-");
        let mut given = self.given();
        let Some((_, values)) = given.iter_mut().find(|(known, _)| *known == name) else {
            return Err(format!("there is no setting {name}; /set lists them"));
        };
        match value {
            "" => values.clear(),
            "off" if name == "ignore-eos" => values.clear(),
            value => {
                if !matches!(name.as_str(), "stop" | "logit-bias") {
                    values.clear();
                }
                values.push(value.to_owned());
            }
        }
        let words = given.iter().flat_map(|(name, values)| values.iter().map(move |value| word(name, value)));
        Line::try_parse_from(words).map(|line| line.sampling).map_err(|e| format!("{name}: {}", reason(&e)))
    }

    /// Every option with what it is, given or not.
    pub(super) fn list(&self, model: &Model) -> Vec<Setting> {
        let command = Line::command();
        let help = |name: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
            let help = arg.and_then(|arg| arg.get_help()).map(ToString::to_string).unwrap_or_default();
            help.split(" [default").next().unwrap_or_default().to_owned()
        };
        let row = |((name, given), (_, values)): ((&str, Vec<String>), (&str, Vec<String>))| Setting {
            name: name.to_owned(),
            value: values.join(" "),
            given: !given.is_empty(),
            help: help(name),
        };
        self.given().into_iter().zip(all(&self.chat_options(), model).given()).map(row).collect()
    }
}

/// Options as if all were given: what holds for `model`.
fn all(options: &GenerateOptions, model: &Model) -> SamplingArgs {
    let sampling = options.sampling.or(model.sampling()).params(None);
    let choice = ChoiceArgs {
        temperature: Some(sampling.temperature),
        top_k: Some(sampling.top_k),
        top_p: Some(sampling.top_p),
        min_p: Some(sampling.min_p),
        typical_p: Some(sampling.typical_p),
    };
    let penalties = PenaltyArgs {
        repetition_penalty: Some(sampling.penalties.repetition),
        frequency_penalty: Some(sampling.penalties.frequency),
        presence_penalty: Some(sampling.penalties.presence),
    };
    let Ending { max_tokens, min_tokens, ignore_eos, ref strings, .. } = options.ending;
    SamplingArgs {
        max_tokens: Some(max_tokens.unwrap_or(model.context())),
        choice,
        penalties,
        seed: sampling.seed,
        logit_bias: sampling.logit_bias,
        stop: strings.clone(),
        min_tokens: Some(min_tokens),
        ignore_eos,
    }
}

/// The names of all options.
pub(super) fn names() -> Vec<&'static str> {
    SamplingArgs::default().given().into_iter().map(|(name, _)| name).collect()
}

fn word(name: &str, value: &str) -> String {
    if name == "ignore-eos" && value == "on" { format!("--{name}") } else { format!("--{name}={value}") }
}

/// What is wrong with a value, in a few words.
fn reason(error: &clap::Error) -> String {
    match error.kind() {
        ErrorKind::TooManyValues | ErrorKind::UnknownArgument => "takes on or off".into(),
        _ => error.source().map_or_else(|| error.kind().to_string(), ToString::to_string),
    }
}

fn number(text: &str, what: &str, fits: impl Fn(f32) -> bool) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_finite() && fits(*x)).ok_or_else(|| format!("must be a number{what}"))
}

fn penalty(text: &str) -> Result<f32, String> {
    number(text, " from -2 to 2", |x| (-2.0..=2.0).contains(&x))
}

fn non_negative(text: &str) -> Result<f32, String> {
    number(text, " of at least 0", |x| x >= 0.0)
}

fn positive(text: &str) -> Result<f32, String> {
    number(text, " above 0", |x| x > 0.0)
}

fn share(text: &str) -> Result<f32, String> {
    number(text, " from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

fn whole<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "must be a whole number of at least 0".into())
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let in_range = |bias: &str| number(bias.trim(), "", |x| (-100.0..=100.0).contains(&x)).ok();
    let parts = text.split_once('=').and_then(|(id, bias)| Some((id.trim().parse().ok()?, in_range(bias)?)));
    parts.ok_or_else(|| "must be a token id and a number from -100 to 100, as 17=-5".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets each of `lines` (`name value`) in turn; what is given at the end, or the first error.
    fn check(lines: &[&str], expected: Result<&str, &str>) {
        let set = lines.iter().try_fold(SamplingArgs::default(), |args, line| {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            args.with(name, value)
        });
        let shown = set.map(|args| {
            let given = args.given().into_iter().filter(|(_, values)| !values.is_empty());
            given.map(|(name, values)| format!("{name} {}", values.join(" "))).collect::<Vec<_>>().join("; ")
        });
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{lines:?}");
    }

    #[test]
    fn settings_are_set_and_taken_back() {
        check(&["temperature 0.2", "top_k 5", "--seed 7"], Ok("temperature 0.2; top-k 5; seed 7"));
        check(&["temperature 0.2", "temperature 0.3", "seed 1", "seed"], Ok("temperature 0.3"));
        check(
            &["stop a b", "stop -c", "logit-bias 1=-5", "logit-bias 2=0.5"],
            Ok("logit-bias 1=-5 2=0.5; stop a b -c"),
        );
        check(&["ignore-eos on", "min-tokens 3"], Ok("min-tokens 3; ignore-eos on"));
        check(&["ignore-eos on", "ignore-eos off"], Ok(""));
    }

    #[test]
    fn what_is_wrong_is_said() {
        check(&["warmth 1"], Err("there is no setting warmth; /set lists them"));
        check(&["temperature -1"], Err("temperature: must be a number of at least 0"));
        check(&["temperature hot"], Err("temperature: must be a number of at least 0"));
        check(&["top-p 1.5"], Err("top-p: must be a number from 0 to 1"));
        check(&["top-k 1.5"], Err("top-k: must be a whole number of at least 0"));
        check(&["frequency-penalty nan"], Err("frequency-penalty: must be a number from -2 to 2"));
        check(&["presence-penalty 2.5"], Err("presence-penalty: must be a number from -2 to 2"));
        let bias = "logit-bias: must be a token id and a number from -100 to 100, as 17=-5";
        check(&["logit-bias 5"], Err(bias));
        check(&["logit-bias 5=-101"], Err(bias));
        check(&["ignore-eos 1"], Err("ignore-eos: takes on or off"));
    }

    #[test]
    fn every_option_can_be_set() {
        let command = Line::command();
        let longs: Vec<&str> =
            command.get_arguments().filter_map(clap::Arg::get_long).filter(|l| *l != "help").collect();
        let mut known = names();
        let mut longs = longs;
        known.sort_unstable();
        longs.sort_unstable();
        assert_eq!(longs, known);
    }
}
