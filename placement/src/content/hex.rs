/// An id that is told as so many hexadecimal digits, in text and in JSON: `Display`, `FromStr` and what serde needs for
/// `#[serde(try_from = "String", into = "String")]`.
#[macro_export]
macro_rules! hex_id {
    ($id:ident($number:ty), $digits:literal, $error:ident, $message:literal) => {
        impl ::std::fmt::Display for $id {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }

        #[doc = concat!("Why a text is none: ", $message, ".")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ::thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl ::std::str::FromStr for $id {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                // Digits alone: a number's own reader takes a sign, too.
                if text.len() == $digits && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    <$number>::from_str_radix(text, 16).map(Self).map_err(|_| $error)
                } else {
                    Err($error)
                }
            }
        }

        impl TryFrom<String> for $id {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }
    };
}
