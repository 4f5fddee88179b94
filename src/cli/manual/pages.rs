//! Pages of docs/ as sections of the manual, so that both have one source.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// A section of the manual: its title, a page, and which of the page's headings it has; all of them where none is named.
pub(super) struct Section {
    pub title: &'static str,
    pub page: &'static str,
    pub headings: &'static [&'static str],
}

impl Section {
    /// Writes it. Text before a page's first heading of the second level belongs to the page as a whole.
    pub fn write(&self, roff: &mut Roff) {
        roff.control("SH", [self.title]);
        let mut writer = Writer::new(roff, self.headings.len() != 1);
        let mut heading = String::new();
        let mut is_wanted = self.headings.is_empty();
        let mut is_heading = false;
        for event in Parser::new_ext(self.page, Options::ENABLE_TABLES) {
            match &event {
                Event::Start(Tag::Heading { .. }) => {
                    is_heading = true;
                    heading.clear();
                }
                Event::End(TagEnd::Heading(level)) => {
                    is_heading = false;
                    let is_title = *level == pulldown_cmark::HeadingLevel::H1;
                    let is_named = self.headings.contains(&heading.as_str());
                    is_wanted = self.headings.is_empty() || (is_named && !is_title);
                    if is_wanted && !is_title {
                        writer.heading(&heading);
                    }
                }
                Event::Text(text) | Event::Code(text) if is_heading => heading.push_str(text),
                _ if is_wanted && !is_heading => writer.event(event),
                _ => {}
            }
        }
    }
}

/// Pages that are sections of the manual, by their names.
const SECTIONS_OF_THEIR_OWN: [&str; 5] = ["alerts", "captures", "dns", "filters", "glossary"];

/// What makes troff's requests of Markdown's events: paragraphs, lists, tables, code.
struct Writer<'a> {
    roff: &'a mut Roff,
    /// Whether the section has more than one part.
    has_headings: bool,
    /// What begins a paragraph here: right behind a heading nothing.
    paragraph: Option<&'static str>,
    line: Vec<Inline>,
    style: fn(&str) -> Inline,
    is_code: bool,
    is_item: bool,
    /// The page that a link leads to, by its name.
    link: String,
    titles: Vec<String>,
    cells: Vec<Vec<Inline>>,
}

impl<'a> Writer<'a> {
    fn new(roff: &'a mut Roff, has_headings: bool) -> Self {
        Self {
            roff,
            has_headings,
            paragraph: None,
            line: Vec::new(),
            style: |text| roman(text),
            is_code: false,
            is_item: false,
            link: String::new(),
            titles: Vec::new(),
            cells: Vec::new(),
        }
    }

    fn heading(&mut self, text: &str) {
        if self.has_headings {
            self.roff.control("SS", [text]);
            self.paragraph = None;
        }
    }

    /// Begins a paragraph, unless a heading has.
    fn paragraph(&mut self) {
        if let Some(request) = self.paragraph.replace("PP") {
            self.roff.control(request, []);
        }
    }

    /// Begins a point of a list (`IP`) or a row of a table (`TP`).
    fn point<'b>(&mut self, request: &str, arguments: impl IntoIterator<Item = &'b str>) {
        self.roff.control(request, arguments);
        self.paragraph = Some("PP");
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.is_code => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            // A page that is a section here.
            Event::Text(text) if *text == *self.link => {
                self.line.push(roman(text.to_uppercase()));
            }
            Event::Text(text) => self.line.push((self.style)(&text)),
            Event::Code(text) => self.line.push(bold(&*text)),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Strong => self.style = |text| bold(text),
            Tag::Emphasis => self.style = |text| italic(text),
            Tag::Link { dest_url, .. } => {
                let page = dest_url.split('#').next().unwrap_or_default();
                let name = page.trim_end_matches(".md");
                let is_section = SECTIONS_OF_THEIR_OWN.contains(&name);
                self.link = if is_section {
                    name.to_owned()
                } else {
                    String::new()
                };
            }
            Tag::Item => {
                self.point("IP", ["\\(bu", "2"]);
                self.is_item = true;
            }
            Tag::CodeBlock(_) => {
                self.paragraph();
                self.roff.control("RS", ["4"]);
                self.roff.control("nf", []);
                self.is_code = true;
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Link => self.link.clear(),
            TagEnd::Strong | TagEnd::Emphasis => self.style = |text| roman(text),
            TagEnd::Paragraph => {
                if !self.is_item {
                    self.paragraph();
                }
                self.text();
            }
            TagEnd::Item => {
                self.text();
                self.is_item = false;
            }
            TagEnd::CodeBlock => {
                self.roff.control("fi", []);
                self.roff.control("RE", []);
                self.is_code = false;
            }
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => {
                let cells = std::mem::take(&mut self.cells);
                self.titles = cells.iter().map(|cell| plain(cell)).collect();
            }
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    fn text(&mut self) {
        if !self.line.is_empty() {
            self.roff.text(std::mem::take(&mut self.line));
        }
    }

    /// A term and what it means: the first cell, and the last one; what stands between has its title.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter();
        self.point("TP", []);
        let term = cells.next().unwrap_or_default();
        self.roff.text([bold(plain(&term))]);
        let last = self.titles.len().saturating_sub(1);
        for (column, cell) in (1..).zip(cells) {
            if cell.is_empty() {
                continue;
            }
            let mut text = Vec::new();
            if column < last {
                text.push(roman(format!("{}: ", self.titles[column])));
            }
            text.extend(cell);
            self.roff.text(text);
            if column < last {
                self.roff.control("br", []);
            }
        }
    }
}

fn plain(cell: &[Inline]) -> String {
    let text = cell.iter().map(|inline| match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.as_str(),
        Inline::LineBreak => " ",
    });
    text.collect()
}
