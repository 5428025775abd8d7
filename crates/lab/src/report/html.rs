//! The report as a page: one file, with its pictures in it.

use super::markdown::{SPEEDS, SPEEDS_ARE, between, scaled, score};
use super::{Report, Variant, plots};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
table{border-collapse:collapse;font-size:.9rem;width:100%}th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right}\
th:first-child,td:first-child{text-align:left}.best{background:#eaf6ea}.dominated{color:#888}.pick{border-left:4px solid #2a7d2a;\
padding:.5rem 1rem;background:#eaf6ea}svg{max-width:100%;height:auto}.wide{overflow-x:auto}";

impl Report {
    /// The report as a page of HTML.
    pub fn html(&self) -> String {
        let mut body = format!("<h1>Variants of {}</h1>\n", escaped(&self.model));
        let reference = &self.reference;
        body += &format!(
            "<p>The reference takes {:.1} MB ({:.2} bits per weight); its perplexity on {} positions is {:.4}.",
            reference.bytes as f64 / 1e6,
            reference.bits_per_weight,
            reference.tokens,
            reference.perplexity
        );
        if !self.calibration.is_empty() {
            let (tokens, files) = (self.calibration_tokens, escaped(&self.calibration.join(", ")));
            body += &format!(" Calibrated with {tokens} tokens of {files}, none of which are evaluated.");
        }
        body += "</p>\n";
        if let Some(pick) = &self.recommended {
            let beats =
                if pick.beats.is_empty() { String::new() } else { format!(" It beats {}.", pick.beats.join(", ")) };
            let text = escaped(&format!("{}.{beats}", pick.why));
            body += &format!("<p class=\"pick\"><strong>Recommended: {}</strong>, {text}</p>\n", escaped(&pick.name));
        }
        body += &self.rows();
        for (title, svg) in plots::all(self) {
            body += &format!("<h2>{title}</h2>\n{svg}\n");
        }
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Variants of {}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n",
            escaped(&self.model)
        )
    }

    fn rows(&self) -> String {
        let head = ["variant", "MB", "bits", "mean KL", "p99 KL", "same top %", "perplexity"];
        let head = head.into_iter().chain(SPEEDS).chain(["score"]);
        let head: String = head.map(|cell| format!("<th>{cell}</th>")).collect();
        let rows: String = self.variants.iter().map(|variant| self.row(variant)).collect();
        format!(
            "<div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>\n\
             <p>Intervals hold with 95 % confidence. KL is in nats. {SPEEDS_ARE} Grey variants are dominated: \
             another one is at least as small and as good.</p>\n"
        )
    }

    fn row(&self, variant: &Variant) -> String {
        let quality = &variant.quality;
        let mut cells = vec![
            variant.name.clone(),
            format!("{:.1}", variant.bytes as f64 / 1e6),
            format!("{:.2}", variant.bits_per_weight),
            between(quality.kl, 5),
            format!("{:.4}", quality.kl_p99),
            between(scaled(quality.top1, 100.0), 1),
            between(quality.perplexity, 3),
        ];
        cells.extend(self.speeds(variant));
        cells.push(score(variant));
        let is_best = self.recommended.as_ref().is_some_and(|pick| pick.name == variant.name);
        let class = match self.variants.iter().any(|other| variant.is_dominated_by(other)) {
            _ if is_best => " class=\"best\"",
            true => " class=\"dominated\"",
            false => "",
        };
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr{class}>{cells}</tr>\n")
    }
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
