//! What robots and applications of `WeCom` have in common: error codes (developer.work.weixin.qq.com,
//! page 90455) and the ban on `\uXXXX` in bodies (40033), which is why nothing is escaped as Go would.

use std::borrow::Cow;
use std::time::Duration;

use super::Answer;
use super::answer::Coded;
use crate::sink::Outcome;

/// 45009 blocks for a minute, an hour or a day and does not say which: the runner asks again.
const FREQUENT: Duration = Duration::from_secs(60);

/// Too many calls at once (45033).
const CONCURRENT: Duration = Duration::from_secs(10);

/// What a code means that is the same for both. Mentions are written `<@id>`, so codes of wrong ids
/// cannot come from an event.
pub(super) fn judge(answer: Coded) -> Answer {
    match answer.code {
        Some(0) => Answer::Outcome(Outcome::Accepted),
        Some(45_009) => answer.throttle(FREQUENT),
        Some(45_033) => answer.throttle(CONCURRENT),
        Some(40_058 | 45_002) => Answer::TooLong(answer.said),
        Some(40_033 | 40_035 | 44_004) => answer.reject(),
        Some(40_001) => answer.hold("check the option `corpSecret`"),
        Some(40_013) => answer.hold("check the option `corpId`"),
        Some(40_056 | 301_002 | 48_002 | 50_001 | 60_011) => {
            answer.hold("check the option `agentId` and what the application may do")
        }
        Some(60_020) => answer.hold(
            "add the address this cluster is seen with to the trusted addresses of the application",
        ),
        Some(40_003 | 40_031 | 81_013) => {
            answer.hold("check the option `toUser`: the users must be able to see the application")
        }
        Some(93_000) => answer.hold("the robot is gone: check the sink's url"),
        _ => answer.retry(),
    }
}

/// `<` would begin a mention or a colour.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if text.contains('<') { text.replace('<', "＜").into() } else { text.into() }
}
