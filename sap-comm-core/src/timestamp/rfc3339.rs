//! The one form that JavaScript writes, without a general parser: `2025-05-19T18:30:00.000Z`.
//!
//! The calendar is that of Howard Hinnant's `chrono`-compatible low-level date algorithms.

/// The length of the form.
pub(crate) const LENGTH: usize = 24;
/// 0000-01-01T00:00:00.000Z in milliseconds since the Unix epoch.
const FIRST: i64 = -62_167_219_200_000;
/// 9999-12-30T22:00:00.000Z, the last millisecond that `jiff` knows.
const LAST: i64 = 253_402_207_200_000;
const DAY: i64 = 86_400_000;
/// Days from 0000-03-01, where the calendar's eras begin, to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Writes milliseconds since the Unix epoch; `None` outside the years 0 to 9999.
pub(super) fn write(millis: i64) -> Option<[u8; LENGTH]> {
    if !(FIRST..=LAST).contains(&millis) {
        return None;
    }
    let (days, time) = (millis.div_euclid(DAY) + EPOCH, millis.rem_euclid(DAY));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |from: usize, digits: usize, mut number: i64| {
        for digit in text[from..from + digits].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, time / 3_600_000);
    put(14, 2, time / 60_000 % 60);
    put(17, 2, time / 1_000 % 60);
    put(20, 3, time % 1_000);
    Some(text)
}

/// Reads exactly that form; `None` for any other, which may be valid still.
pub(super) fn read(text: &str) -> Option<i64> {
    let text: &[u8; LENGTH] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if marks.iter().any(|(at, mark)| text[*at] != *mark) {
        return None;
    }
    let number = |from: usize, digits: usize| {
        text[from..from + digits].iter().try_fold(0_i64, |number, digit| match digit {
            b'0'..=b'9' => Some(number * 10 + i64::from(digit - b'0')),
            _ => None,
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second, millis) = (number(11, 2)?, number(14, 2)?, number(17, 2)?, number(20, 3)?);
    // Days that not every month has, and leap seconds, are for the general parser to judge.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - EPOCH;
    let time = ((hour * 60 + minute) * 60 + second) * 1_000 + millis;
    Some(days * DAY + time).filter(|millis| *millis <= LAST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_agrees_with_the_general_parser(millis in FIRST..=LAST) {
            let general = jiff::Timestamp::from_millisecond(millis).unwrap();
            let text = format!("{general:.3}");
            prop_assert_eq!(String::from_utf8(write(millis).unwrap().to_vec()).unwrap(), text.as_str());
            if let Some(read) = read(&text) {
                prop_assert_eq!(read, millis);
            } else {
                prop_assert!(&text[8..10] > "28", "{}", text);
            }
        }
    }

    #[test]
    fn the_limits_are_those_of_the_general_parser() {
        for millis in [FIRST, 0, -1, 951_782_400_000, LAST] {
            let general = jiff::Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(write(millis).unwrap(), format!("{general:.3}").as_bytes());
        }
        assert_eq!((write(FIRST - 1), write(LAST + 1), write(i64::MIN)), (None, None, None));
        for other in ["2025-13-01T00:00:00.000Z", "2025-01-01t00:00:00.000Z", "2025-01-01T24:00:00.000Z", "é", ""] {
            assert_eq!(read(other), None, "{other}");
        }
        assert_eq!(read("2025-05-19T18:30:00.000Z"), Some(1_747_679_400_000));
    }
}
