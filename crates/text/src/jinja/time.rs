//! `strftime` for templates that put a date into their prompt. The time is the caller's.

use super::JinjaError;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// `now`, seconds since 1970, in UTC, as `format` has it (English names).
pub(super) fn strftime(format: &str, now: i64) -> Result<String, JinjaError> {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' => {
                let code = chars.next().unwrap_or('%');
                let (plain, code) = if code == '-' { (true, chars.next().unwrap_or('%')) } else { (false, code) };
                let unknown = || JinjaError::new(format!("strftime_now does not know %{code}"));
                let field = field(code, now).ok_or_else(unknown)?;
                let bare = field.trim_start_matches('0');
                out.push_str(if plain && !bare.is_empty() { bare } else { &field });
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn field(code: char, now: i64) -> Option<String> {
    let (days, seconds) = (now.div_euclid(86_400), now.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let weekday = DAYS[days.rem_euclid(7) as usize];
    let month_name = MONTHS[month as usize - 1];
    Some(match code {
        'Y' => year.to_string(),
        'y' => format!("{:02}", year.rem_euclid(100)),
        'm' => format!("{month:02}"),
        'd' => format!("{day:02}"),
        'e' => format!("{day:2}"),
        'B' => month_name.into(),
        'b' | 'h' => month_name[..3].into(),
        'A' => weekday.into(),
        'a' => weekday[..3].into(),
        'j' => format!("{:03}", days - days_before(year) + 1),
        'H' => format!("{hour:02}"),
        'I' => format!("{:02}", (hour + 11) % 12 + 1),
        'p' => if hour < 12 { "AM" } else { "PM" }.into(),
        'M' => format!("{minute:02}"),
        'S' => format!("{second:02}"),
        'F' => format!("{year}-{month:02}-{day:02}"),
        'T' | 'X' => format!("{hour:02}:{minute:02}:{second:02}"),
        'D' | 'x' => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
        'R' => format!("{hour:02}:{minute:02}"),
        's' => now.to_string(),
        'Z' => "UTC".into(),
        'z' => "+0000".into(),
        'n' => "\n".into(),
        't' => "\t".into(),
        '%' => "%".into(),
        _ => return None,
    })
}

/// Days from 1970 to the first of `year`.
fn days_before(year: i64) -> i64 {
    let y = year - 1;
    365 * (year - 1970) + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 477
}

/// Year, month and day of a day counted from 1970 (Gregorian).
fn date(days: i64) -> (i64, i64, i64) {
    // Years from March on, so that the leap day is a year's last; 400 of them have 146,097 days.
    let days = days.clamp(-1_000_000_000, 1_000_000_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_python_writes_them() {
        let check = |format: &str, now: i64, expected: &str| {
            assert_eq!(strftime(format, now).expect("a known format"), expected);
        };
        check("%d %b %Y", 0, "01 Jan 1970");
        check("%A, %B %-d, %Y %H:%M:%S", 1_795_392_000 + 3661, "Monday, November 23, 2026 01:01:01");
        check("%Y-%m-%d %j", 951_782_400, "2000-02-29 060");
        check("%j %I%p %y%%", 1_735_603_200, "366 12AM 24%");
        check("%F %a", -86_400, "1969-12-31 Wed");
        assert!(strftime("%Q", 0).is_err());
    }
}
