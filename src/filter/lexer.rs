//! Text to tokens, one at a time, so that a long text needs no memory.

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Letters, digits and whatever else is no sign.
    Word(&'a str),
    /// What stood between quotes: never one of the filter's words.
    Quoted(&'a str),
    /// `(`.
    Open,
    /// `)`.
    Close,
    /// `!` or `not`.
    Not,
    /// `&&` or `and`.
    And,
    /// `||` or `or`.
    Or,
    /// A quote that is not closed.
    Unclosed,
    /// No more.
    End,
}

/// Where in the text something is, in bytes, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub at: usize,
    pub message: String,
}

/// The tokens of a text. A copy looks ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the next token is looked for.
    position: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The next token and where it begins; that of the end, just behind the latest token.
    pub fn next(&mut self) -> (Token<'a>, usize) {
        let rest = &self.text[self.position..];
        let trimmed = rest.trim_start();
        let at = self.position + rest.len() - trimmed.len();
        let (token, length) = scan(trimmed);
        if token == Token::End {
            return (token, self.position);
        }
        self.position = at + length;
        (token, at)
    }
}

fn scan(text: &str) -> (Token<'_>, usize) {
    for (sign, token) in [
        ("(", Token::Open),
        (")", Token::Close),
        ("!", Token::Not),
        ("&&", Token::And),
        ("||", Token::Or),
    ] {
        if text.starts_with(sign) {
            return (token, sign.len());
        }
    }
    match text.chars().next() {
        None => (Token::End, 0),
        Some(quote @ ('"' | '\'')) => match text[1..].find(quote) {
            Some(length) => (Token::Quoted(&text[1..=length]), length + 2),
            None => (Token::Unclosed, text.len()),
        },
        Some(_) => {
            let length = word_length(text);
            let word = &text[..length];
            let token = match () {
                () if word.eq_ignore_ascii_case("not") => Token::Not,
                () if word.eq_ignore_ascii_case("and") => Token::And,
                () if word.eq_ignore_ascii_case("or") => Token::Or,
                () => Token::Word(word),
            };
            (token, length)
        }
    }
}

/// Looks no further than the word goes: the text behind it may be long.
fn word_length(text: &str) -> usize {
    text.char_indices()
        .find(|(at, c)| {
            c.is_whitespace()
                || matches!(c, '(' | ')' | '!' | '"' | '\'')
                || (matches!(c, '&' | '|') && text[at + 1..].starts_with(*c))
        })
        .map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
        let mut lexer = Lexer::new(text);
        let mut tokens = Vec::new();
        loop {
            let token = lexer.next();
            tokens.push(token);
            if token.0 == Token::End {
                return tokens;
            }
        }
    }

    #[test]
    fn signs_need_no_blanks() {
        use Token::{And, Close, End, Not, Open, Or, Word};
        assert_eq!(
            tokens("!(port 53||ip6)&&net 10/8 "),
            [
                (Not, 0),
                (Open, 1),
                (Word("port"), 2),
                (Word("53"), 7),
                (Or, 9),
                (Word("ip6"), 11),
                (Close, 14),
                (And, 15),
                (Word("net"), 17),
                (Word("10/8"), 21),
                (End, 25),
            ]
        );
    }

    #[test]
    fn words_in_any_case_and_quotes() {
        use Token::{And, End, Not, Or, Quoted, Unclosed, Word};
        assert_eq!(
            tokens("AND Not oR 'not' \"a 'b\" ö\u{2003}ü 'x"),
            [
                (And, 0),
                (Not, 4),
                (Or, 8),
                (Quoted("not"), 11),
                (Quoted("a 'b"), 17),
                (Word("ö"), 24),
                (Word("ü"), 29),
                (Unclosed, 32),
                (End, 34),
            ]
        );
        assert_eq!(tokens("  "), [(End, 0)]);
        assert_eq!(tokens("''"), [(Quoted(""), 0), (End, 2)]);
        assert_eq!(tokens("a&b"), [(Word("a&b"), 0), (End, 3)]);
    }
}
