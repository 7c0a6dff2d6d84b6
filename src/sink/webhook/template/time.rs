//! Methods of Go's `time.Time`.

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::value::Value;
use crate::event::render::Moment;

/// Calls a method; `None` when there is none of this name with these arguments.
pub(super) fn method<'a>(
    moment: &Moment,
    name: &str,
    arguments: &[Value<'a>],
    zone: &TimeZone,
) -> Option<Value<'a>> {
    let zoned = moment.zoned();
    let value = match (name, arguments) {
        ("Format", [Value::Text(layout)]) => Value::text(moment.format(layout)),
        ("String", []) => Value::text(moment.text()),
        ("Time", []) => Value::Time(moment.clone()),
        ("UTC", []) => Value::Time(moment.in_zone(&TimeZone::UTC)),
        ("Local", []) => Value::Time(moment.in_zone(zone)),
        ("Add", [Value::Integer(nanoseconds)]) => {
            Value::Time(moment.moved(SignedDuration::from_nanos(*nanoseconds))?)
        }
        ("Unix", []) => Value::Integer(zoned.timestamp().as_second()),
        ("UnixMilli", []) => Value::Integer(zoned.timestamp().as_millisecond()),
        ("IsZero", []) => Value::Bool(moment.is_zero()),
        ("Year", []) => Value::Integer(zoned.year().into()),
        ("Month", []) => Value::text(moment.month()),
        ("Day", []) => Value::Integer(zoned.day().into()),
        ("Weekday", []) => Value::text(moment.weekday()),
        ("Hour", []) => Value::Integer(zoned.hour().into()),
        ("Minute", []) => Value::Integer(zoned.minute().into()),
        ("Second", []) => Value::Integer(zoned.second().into()),
        _ => return None,
    };
    Some(value)
}
