//! A real browser: Debian's Chromium without a window, driven by its `chromedriver`.
//!
//! Invariant: it has an empty profile and a driver of its own, and both are gone when it is dropped.
//!
//! The driver's protocol is `WebDriver` (<https://www.w3.org/TR/webdriver2/>), of which this needs five commands.

use crate::client::plain_http_client;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What people prefer to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    session: String,
    /// The browser itself, which outlives its driver.
    process: Pid,
    _driver: Process,
    _folder: TempDir,
}

/// Longest wait for something to be seen.
const PATIENCE: Duration = Duration::from_secs(60);

impl Browser {
    /// Starts one whose page is so many pixels wide and high.
    pub async fn start(theme: Theme, width: u32, height: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder");
        let port = ReservedPort::new();
        let log = folder.path().join("log");
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={}", port.number()));
        let driver = Process::spawn(command, Output::File(open_log(&log)));
        let base = format!("http://{}", port.address());
        let probe = async || ask(Method::GET, &format!("{base}/status"), None).await.ok();
        wait_until_ready("chromedriver", &driver, &log, probe).await;
        let scheme = u8::from(theme == Theme::Light);
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-breakpad".to_owned(),
            "--no-first-run".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--user-data-dir={}", folder.path().join("profile").display()),
        ];
        // A window is never narrower than 500 pixels, but the screen that is played may be.
        let metrics = json!({"width": width, "height": height, "pixelRatio": 1.0, "mobile": false, "touch": false});
        let options = json!({"args": arguments, "mobileEmulation": {"deviceMetrics": metrics}});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = ask(Method::POST, &format!("{base}/session"), Some(wanted)).await;
        let made = made.expect("a session");
        let id = made["sessionId"].as_str().expect("the name of the session");
        let process = made["capabilities"]["goog:processID"].as_i64();
        let process = process.and_then(|number| Pid::from_raw(number.try_into().ok()?));
        let process = process.expect("the number of the browser's process");
        Self { session: format!("{base}/session/{id}"), process, _driver: driver, _folder: folder }
    }

    /// Goes to a page, and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.command("url", json!({"url": url})).await;
    }

    /// The value of a function body in JavaScript: `return document.title`.
    pub async fn run(&self, script: &str) -> Value {
        self.command("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until an expression in JavaScript is true.
    pub async fn until(&self, expression: &str) {
        let give_up = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({expression})")).await != true {
            if Instant::now() > give_up {
                let page = self.run("return document.body.innerText").await;
                panic!(
                    "not within {PATIENCE:?}: {expression}\n{}",
                    page.as_str().unwrap_or_default()
                );
            }
            // Nothing tells when the page changes.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Errors and warnings of the browser since it was last asked, such as what its policy has kept the page from.
    pub async fn complaints(&self) -> Vec<String> {
        let lines = self.command("se/log", json!({"type": "browser"})).await;
        let lines = lines.as_array().cloned().unwrap_or_default().into_iter();
        lines.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Writes what is seen into a PNG file.
    pub async fn screenshot(&self, path: &Path) {
        let url = format!("{}/screenshot", self.session);
        let image = ask(Method::GET, &url, None).await.expect("a screenshot");
        let bytes = STANDARD.decode(image.as_str().expect("a text")).expect("base64");
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("make a folder");
        std::fs::write(path, bytes).expect("write a screenshot");
    }

    async fn command(&self, name: &str, body: Value) -> Value {
        let answer = ask(Method::POST, &format!("{}/{name}", self.session), Some(body)).await;
        answer.unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = kill_process(self.process, Signal::KILL);
    }
}

/// The value that the driver answers, or what it complains of.
async fn ask(method: Method, url: &str, body: Option<Value>) -> Result<Value, String> {
    let mut request = plain_http_client().request(method, url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let done = answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if done { Ok(value) } else { Err(value["message"].to_string()) }
}
