//! Emergency numbers of every region: never called, in any format.
//!
//! The lists are those of the national numbering plans as published in ITU-T E.129 presentations and collected
//! by libphonenumber's short-number metadata; `?` stands for any digit.

/// Emergency numbers known all over the world: mobile networks connect them whatever the region's own list says.
const EVERYWHERE: &[&str] = &[
    "112", "911", "999", "000", "110", "118", "119", "08", "15", "17", "18",
];

/// No region's is longer.
const DIGITS_MAX: usize = 6;

/// Whether these digits, as they stand, call an emergency service in some region.
pub(super) fn is_emergency_anywhere(digits: &str) -> bool {
    digits.len() <= DIGITS_MAX
        && (EVERYWHERE.contains(&digits) || BY_REGION.iter().any(|(_, numbers)| lists(numbers, digits)))
}

/// Whether a switch of this region that reads digit by digit would stop at an emergency number: `911 555 0123`.
/// Numbers of fewer than three digits do not count: too many subscriber numbers begin with them.
pub(super) fn begins_as_emergency_in(region: &str, digits: &str) -> bool {
    numbers_of(region)
        .chain(["112", "911", "000"])
        .filter(|number| number.len() >= 3)
        .any(|number| digits.get(..number.len()).is_some_and(|head| fits(number, head)))
}

/// Outside-line digits of a PBX before a number that every network takes for an emergency: `9911`, `0112`.
pub(super) fn is_emergency_behind_access_digit(digits: &str) -> bool {
    ["0", "9"].iter().any(|access| {
        digits
            .strip_prefix(access)
            .is_some_and(|rest| matches!(rest, "112" | "911" | "999" | "000"))
    })
}

fn numbers_of(region: &str) -> impl Iterator<Item = &'static str> {
    BY_REGION
        .iter()
        .filter(move |(regions, _)| regions.split(' ').any(|listed| listed == region))
        .flat_map(|(_, numbers)| numbers.split(' '))
}

fn lists(numbers: &str, digits: &str) -> bool {
    numbers.split(' ').any(|number| fits(number, digits))
}

fn fits(number: &str, digits: &str) -> bool {
    number.len() == digits.len()
        && number
            .bytes()
            .zip(digits.bytes())
            .all(|(wanted, found)| wanted == b'?' || wanted == found)
}

/// Regions and their emergency numbers.
const BY_REGION: &[(&str, &str)] = &[
    ("AC AG LC MS SH TC VC VG", "911 999"),
    ("AD", "110 112 116 118"),
    ("AE PL", "112 997 998 999"),
    ("AF", "100 102 119"),
    ("AI AS BM GD GU KY MH MP PA PR PW TV VI", "911"),
    ("AL", "112 127 128 129"),
    ("AM KG", "101 102 103"),
    ("AO", "112 113 115"),
    ("AR", "100 101 107 911"),
    ("AT", "112 122 133 144"),
    ("AU", "000 106 112"),
    ("AW", "100 911"),
    ("AX FI GL IS KW MT RO ST VU", "112"),
    ("AZ BY KZ TJ UA", "101 102 103 112"),
    ("BA", "122 123 124"),
    ("BB", "211 311 511 911"),
    ("BD", "100 101 102 199 999"),
    ("BE", "100 101 112"),
    ("BF DJ KM MR SN TD", "17 18"),
    ("BG", "112 150 160 166"),
    ("BH", "199 999"),
    ("BI", "112 113 117"),
    ("BJ", "112 114 116 117 118"),
    ("BL", "18"),
    ("BN", "991 993 995"),
    ("BO", "110 118 119"),
    ("BQ CA CR CW DO NL US", "112 911"),
    ("BR", "112 128 190 192 193 911"),
    ("BS", "911 919"),
    ("BT NO SJ SY", "110 112 113"),
    ("BW", "911 997 998 999"),
    ("BZ", "90 911 990"),
    ("CC CX", "000 112"),
    ("CD", "113 114 118 177 188"),
    ("CF", "117 118 1220"),
    ("CG", "117 118"),
    ("CH LI", "112 117 118 144"),
    ("CI", "110 111 170 180"),
    ("CK", "996 998 999"),
    ("CL", "131 132 133 911"),
    ("CM", "113 117 13 17"),
    ("CN", "110 119 120"),
    ("CO", "112 119 123 132 156"),
    ("CU", "104 105 106"),
    ("CV", "130 131 132"),
    ("CY", "112 199"),
    ("CZ", "112 15?"),
    ("DE EE", "110 112"),
    ("DK FO", "112 114"),
    ("DM KN", "333 911 999"),
    ("DZ", "112 14 17"),
    ("EC", "101 102 112 911"),
    ("EG", "122 123 180"),
    ("EH MA", "15 177 19"),
    ("ER", "112 113 114 116 124422 127799 201606 201917 202099 202914"),
    ("ES", "085 088 112"),
    ("ET", "91 911 92 93 939 991 997"),
    ("FJ", "911 917"),
    ("FK IM MO NU QA SB SC SD SS SZ UG", "999"),
    ("FM", "320221 911"),
    ("FR MC MQ RE", "112 15 17 18"),
    ("GA", "13?? 1730 18"),
    ("GB GG IE JE MY", "112 999"),
    ("GE", "011 022 033 111 112 113 122"),
    ("GF GP MF ML PF PM WF", "15 17 18"),
    ("GH", "191 192 193 999"),
    ("GI", "112 190 199"),
    ("GM", "116 117 118 16 17 18"),
    ("GR", "100 112 166 199"),
    ("GT", "110 120 123"),
    ("GW", "113 117 118"),
    ("GY", "911 912 913"),
    ("HK", "112 992 999"),
    ("HN MM NG", "199"),
    ("HR", "112 192 193 194 93 94"),
    ("HT", "114 118"),
    ("HU", "104 105 107 112"),
    ("ID", "110 112 113 118 119"),
    ("IL", "100 101 102 112"),
    ("IN", "100 101 102 108 112 1298 2611"),
    ("IQ", "100 104 115 122"),
    ("IR", "110 112 115 125 911"),
    ("IT VA", "112 113 115 118"),
    ("JM", "110 112 119 911"),
    ("JO", "112 191 192 197 911"),
    ("JP", "110 119"),
    ("KE", "112 114 999"),
    ("KH", "117 118 119 666"),
    ("KI", "192 193 194 195 992 993 994"),
    ("KP", "112 119 819"),
    ("KR", "112 119"),
    ("LA", "190 191 195"),
    ("LB", "112 140 175 999"),
    ("LK", "110 112 116 118 119"),
    ("LR", "355 911"),
    ("LS", "112 115 117"),
    ("LT", "01 011 02 022 03 033 101 102 103 112"),
    ("LU SI", "112 113"),
    ("LV", "01 02 03 110 112 113"),
    ("LY", "190 191 193"),
    ("MD", "112 901 902 903"),
    ("ME", "112 122 123 124"),
    ("MG", "117 118 17 18"),
    ("MK XK", "112 192 193 194"),
    ("MN", "100 101 102 103 105"),
    ("MU", "114 115 995 999"),
    ("MV", "102 118 119"),
    ("MW", "199 997 998 999"),
    ("MX", "060 065 066 068 080 911"),
    ("MZ", "117 119 197 198"),
    ("NA", "10111"),
    ("NC", "15 16 17 18"),
    ("NE", "118 15 17 18 723141"),
    ("NF", "911 955 977"),
    ("NI", "115 118 120 128"),
    ("NP", "100 101 102 103 112"),
    ("NR", "110 111 112"),
    ("NZ", "111"),
    ("OM", "1444 9999"),
    ("PE", "105 116 117"),
    ("PG", "000 110 111"),
    ("PH", "112 117 911"),
    ("PK", "112 1122 115 15 16"),
    ("PS", "100 101 102"),
    ("PT TL", "112 115"),
    ("PY UY", "128 911"),
    ("RS", "112 92 93 94"),
    ("RU", "01 02 03 101 102 103 112"),
    ("RW", "111 112"),
    ("SA", "112 911 997 999"),
    ("SE", "112 90000"),
    ("SG", "993 995 999"),
    ("SK", "112 150 155 158"),
    ("SL", "019 999"),
    ("SM", "113 115 118"),
    ("SO", "555 888 999"),
    ("SR", "115"),
    ("SV", "911 913"),
    ("SX", "919"),
    ("TG", "117 118 171 172 177"),
    ("TH", "1669 191 199"),
    ("TM", "01 02 03"),
    ("TN", "190 197 198"),
    ("TO", "911 922 933 999"),
    ("TR", "110 112 155"),
    ("TT", "990 999"),
    ("TW", "110 112 119"),
    ("TZ", "110 111 112 114 115 999"),
    ("UZ", "001 002 003 01 02 03 050"),
    ("VE", "112 171 911"),
    ("VN", "113 114 115"),
    ("WS", "911 994 995 996 999"),
    ("YE", "191 194 195 199"),
    ("YT", "112 15"),
    ("ZA", "10111 10177 112"),
    ("ZM", "112 991 993 999"),
    ("ZW", "112 993 994 995 999"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn is_emergency_in(region: &str, digits: &str) -> bool {
        numbers_of(region).any(|number| fits(number, digits))
    }

    #[test]
    fn the_well_known_ones_are_in_their_regions_list() {
        for (region, number) in [
            ("US", "911"),
            ("GB", "999"),
            ("DE", "110"),
            ("AU", "000"),
            ("FR", "15"),
            ("JP", "119"),
            ("NZ", "111"),
            ("IT", "118"),
            ("IN", "100"),
            ("BR", "190"),
            ("CN", "120"),
            ("CH", "144"),
            ("ZA", "10111"),
            ("RU", "01"),
        ] {
            assert!(is_emergency_in(region, number), "{region} {number}");
            assert!(is_emergency_anywhere(number), "{number}");
        }
        assert!(!is_emergency_in("US", "999"));
        assert!(!is_emergency_anywhere("1001"));
    }

    #[test]
    fn digits_behind_an_emergency_number_do_not_hide_it() {
        assert!(begins_as_emergency_in("US", "9115550123"));
        assert!(!begins_as_emergency_in("US", "4255550123"));
        assert!(is_emergency_behind_access_digit("9911") && is_emergency_behind_access_digit("0112"));
    }

    #[test]
    fn the_longest_number_is_as_long_as_said() {
        let listed = BY_REGION.iter().flat_map(|(_, numbers)| numbers.split(' '));
        assert_eq!(listed.map(str::len).max(), Some(DIGITS_MAX));
        assert!(EVERYWHERE.iter().all(|number| number.len() <= DIGITS_MAX));
    }
}
