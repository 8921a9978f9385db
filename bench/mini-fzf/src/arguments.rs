//! The command line, read by hand: a program about start-up time does not begin with an argument parser.

use std::ffi::OsString;

/// What `--help` prints.
pub(crate) const USAGE: &str = "\
Usage: mini-fzf [--count N] QUERY...   print the best matches, best first, each with its score
       mini-fzf --get I...             print the entries with these numbers, counted from 0
       mini-fzf --nothing              touch nothing and exit
       mini-fzf --help

Options:
  --count N    print N matches at most (default: 10)

Environment, when the list is made (at build time with `cargo fastboot build`, else at start):
  MINI_FZF_INPUT    a file whose lines are the list (default: 1,000,000 made-up paths)";

/// The command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) task: Task,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Nothing,
    Get { indices: Vec<usize> },
    Search { query: String, count: usize },
}

impl Arguments {
    /// Reads what follows the program's name; the error is a sentence.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter().map(|argument| {
            argument.into_string().map_err(|argument| format!("argument `{}` is not UTF-8", argument.display()))
        });
        let mut words = Vec::new();
        let mut count = 10;
        while let Some(argument) = arguments.next().transpose()? {
            match argument.as_str() {
                "--help" | "-h" => return Ok(Self { task: Task::Help }),
                "--nothing" => return Ok(Self { task: Task::Nothing }),
                "--get" => {
                    let indices = arguments.map(|index| number("--get", &index?)).collect::<Result<Vec<_>, _>>()?;
                    return if indices.is_empty() {
                        Err("`--get` needs the number of an entry".to_owned())
                    } else {
                        Ok(Self { task: Task::Get { indices } })
                    };
                }
                "--count" => {
                    let value = arguments.next().transpose()?.ok_or("`--count` needs a number")?;
                    count = number("--count", &value)?;
                }
                "--" => {
                    words.extend(arguments.by_ref().collect::<Result<Vec<_>, _>>()?);
                }
                option if option.starts_with('-') && option.len() > 1 => {
                    return Err(format!("there is no option `{option}`; to search for it, write `-- {option}`"));
                }
                _ => words.push(argument),
            }
        }
        if words.is_empty() {
            return Err("nothing to search for".to_owned());
        }
        Ok(Self { task: Task::Search { query: words.join(" "), count } })
    }
}

fn number(option: &str, value: &str) -> Result<usize, String> {
    value.parse().map_err(|_| format!("`{option}` needs a number, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Arguments::parse(line.split_whitespace().map(OsString::from)).map(|arguments| arguments.task)
    }

    #[test]
    fn words_are_one_query() {
        let search = |query: &str, count| Ok(Task::Search { query: query.to_owned(), count });
        assert_eq!(parse("net driver"), search("net driver", 10));
        assert_eq!(parse("--count 3 net"), search("net", 3));
        assert_eq!(parse("net --count 3"), search("net", 3));
        assert_eq!(parse("-- --get"), search("--get", 10));
    }

    #[test]
    fn entries_by_number() {
        assert_eq!(parse("--get 0 999999"), Ok(Task::Get { indices: vec![0, 999_999] }));
        assert!(parse("--get").unwrap_err().contains("--get"));
        assert!(parse("--get one").unwrap_err().contains("one"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert!(parse("").unwrap_err().contains("nothing to search for"));
        assert!(parse("--count").unwrap_err().contains("--count"));
        assert!(parse("--count many net").unwrap_err().contains("many"));
        assert!(parse("--fuzzy net").unwrap_err().contains("--fuzzy"));
    }
}
