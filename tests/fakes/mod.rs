//! Services that the tests of sinks talk to: real sockets on free ports, answers as told.
//!
//! # Chat services
//!
//! [`dingtalk`], [`wecom_robot`], [`wecom_app`], [`feishu`], [`slack`] and [`teams`] are as strict
//! as the services they stand for: they check what those check, answer with their words, and count
//! against their limits. Their names are the same everywhere, from [`chat::Fake`]:
//!
//! ```ignore
//! let robot = Robot { secret: Some("SEC1".into()), ..Robot::default() };
//! let service = DingTalk::start(robot).await;      // see below for the others
//! let url = service.url();                         // with its token or key, where a URL has one
//! service.limit(5, Duration::from_secs(1));        // instead of the documented limit
//! service.penalty(Duration::from_secs(2));         // and how long it refuses after it was exceeded
//! service.answer_next(2, Scripted::Code(-1, "system busy"));   // then strict again
//! service.until(|messages| messages.len() == 3).await;         // wrap it in a timeout
//! service.messages();                              // accepted ones, in order, as people see them
//! service.refusals();                              // each with its code and the reason
//! service.clock_is(SignedDuration::from_hours(2)); // its clock, against ours
//! service.stop().await; service.start_again();     // its port refuses connections meanwhile
//! ```
//!
//! | service | settings |
//! |---|---|
//! | [`dingtalk::DingTalk`] | [`dingtalk::Robot`]: token, secret, keyword, unsafe link, language |
//! | [`wecom_robot::WeComRobot`] | [`wecom_robot::Robot`]: key, whether it takes `\uXXXX` |
//! | [`wecom_app::WeComApp`] | [`wecom_app::App`]: company, secret, number, members, lifetime of tokens |
//! | [`feishu::Feishu`] | [`feishu::Robot`]: token, secret, keyword |
//! | [`slack::Slack`] | [`slack::Hook`]: the three parts of its path |
//! | [`teams::Teams`] | [`teams::Hook`]: a workflow, or `Hook::connector()`, a legacy one |
//!
//! A [`chat::Message`] has `title`, `text`, `mentions`, `kind`, for an application `receivers`, and
//! when it came with which body.
//!
//! What only some have: `DingTalk`, `WeComApp` and `Feishu` can `refuse_ip(true)`; `DingTalk` can
//! `disable(true)`; `WeComApp` has tokens (`expire_token`, `forget_token`,
//! `token_requests`, `answer_next_token`) and messages that it accepts and nobody sees (`lost`).
//! `tests/chat_fakes/` tests the fakes, also with clients of the services that others wrote.
//!
//! # Honeycomb
//!
//! [`honeycomb::Honeycomb`] takes batches from one team, and is in a [`honeycomb::Mood`]. `tests/honeycomb.rs`
//! tests it, too, with Honeycomb's own client.
//!
//! # Kafka
//!
//! [`kafka_topics::Topics`] makes and reads the topics of a real server; [`kafka::MockKafka`] is librdkafka's own
//! stand-in for brokers, for answers that a real one gives only when something is wrong with it. [`kafka_sink`] delivers.

// Every test uses its own part, and all of it is public to all of them.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

pub mod alibaba_sts;
pub mod aws_sts;
pub mod chat;
pub mod clients;
pub mod dingtalk;
pub mod elasticsearch;
pub mod event_bridge;
pub mod feishu;
pub mod feishu_message;
pub mod honeycomb;
pub mod http;
pub mod kafka;
pub mod kafka_sink;
pub mod kafka_topics;
pub mod mariadb;
pub mod mrkdwn;
pub mod protobuf;
pub mod records;
pub mod riemann;
pub mod schema;
pub mod service;
pub mod signature;
pub mod sigv4;
pub mod slack;
pub mod sls;
pub mod teams;
pub mod teams_card;
pub mod wecom_app;
pub mod wecom_robot;
pub mod wecom_token;
pub mod window;
