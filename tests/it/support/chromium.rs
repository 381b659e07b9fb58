//! Headless Chromium, driven over its `DevTools` protocol: commands and answers are JSON, each ended by a zero byte, over two pipes.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::{Value, json};

/// A running browser with one page; ended when dropped.
pub struct Chromium {
    child: Child,
    commands: File,
    answers: BufReader<File>,
    session: String,
    count: u64,
    /// What pages have complained of: exceptions that nobody caught, errors and warnings in the console.
    complaints: Vec<String>,
    /// What is written down of what pages do, and whether all of it has come.
    trace: Vec<Value>,
    traced: bool,
    _folder: tempfile::TempDir,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Chromium {
    pub fn is_installed() -> bool {
        Command::new("chromium").arg("--version").output().is_ok()
    }

    /// Opens a page, and waits until all of it is there.
    pub fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pipes = ["commands", "answers"].map(|name| folder.path().join(name));
        for pipe in &pipes {
            mkfifoat(CWD, pipe, Mode::RWXU).unwrap();
        }
        // It reads from descriptor 3 and writes to 4.
        let child = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<"$COMMANDS" 4>"$ANSWERS""#, "chromium"])
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--remote-debugging-pipe",
            ])
            .arg("--autoplay-policy=no-user-gesture-required")
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .envs([("COMMANDS", &pipes[0]), ("ANSWERS", &pipes[1])])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell runs");
        let commands = File::options().write(true).open(&pipes[0]).unwrap();
        let answers = BufReader::new(File::open(&pipes[1]).unwrap());
        let session = String::new();
        let mut this = Self {
            child,
            commands,
            answers,
            session,
            count: 0,
            complaints: Vec::new(),
            trace: Vec::new(),
            traced: false,
            _folder: folder,
        };
        let target = this.command("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = this.command("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        attached["sessionId"].as_str().unwrap().clone_into(&mut this.session);
        for domain in ["Runtime.enable", "Log.enable"] {
            this.command(domain, &json!({}));
        }
        this.go(url);
        this
    }

    /// Goes to another page, and waits until all of it is there.
    pub fn go(&mut self, url: &str) {
        let went = self.command("Page.navigate", &json!({"url": url}));
        assert!(went["errorText"].is_null(), "{url}: {went}");
        let loaded = "new Promise((is) => document.readyState === 'complete' ? is() : addEventListener('load', () => is()))";
        self.run(loaded).unwrap();
    }

    /// What an expression on the page comes to; a promise is waited for. What it throws, where it does.
    pub fn run(&mut self, expression: &str) -> Result<Value, String> {
        let how = json!({"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let mut answer = self.command("Runtime.evaluate", &how);
        match answer["exceptionDetails"].take() {
            Value::Null => Ok(answer["result"]["value"].take()),
            thrown => {
                let what = thrown["exception"]["description"].as_str();
                Err(what.map_or_else(|| thrown["exception"]["value"].to_string(), str::to_owned))
            }
        }
    }

    /// Has no more bytes come in a second than these.
    pub fn throttle(&mut self, bytes_per_s: f64) {
        self.line(bytes_per_s, -1.0);
    }

    /// Has no more bytes go in a second than these; none: as many as can.
    pub fn throttle_uploads(&mut self, bytes_per_s: Option<f64>) {
        self.line(-1.0, bytes_per_s.unwrap_or(-1.0));
    }

    fn line(&mut self, down: f64, up: f64) {
        self.command("Network.enable", &json!({}));
        let line =
            json!({"offline": false, "latency": 0, "downloadThroughput": down, "uploadThroughput": up});
        self.command("Network.emulateNetworkConditions", &line);
    }

    /// What pages have complained of so far.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Leaves out complaints that were meant to come.
    pub fn forgive(&mut self, words: &str) {
        self.complaints.retain(|complaint| !complaint.contains(words));
    }

    /// Shows pages in a window of this size, in light or dark, from now on.
    pub fn look(&mut self, width: u32, height: u32, dark: bool) {
        let phone = width < 600;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.command("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", &media);
    }

    /// Keeps a picture of what is seen, as PNG.
    pub fn screenshot(&mut self, file: &Path) {
        use base64::Engine as _;
        let shot = self.command("Page.captureScreenshot", &json!({"format": "png"}));
        let picture =
            base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, picture).unwrap();
    }

    /// Chooses files for an input of the page, as its user would.
    pub fn choose(&mut self, selector: &str, files: &[&Path]) {
        let root = self.command("DOM.getDocument", &json!({}))["root"]["nodeId"].clone();
        let input =
            self.command("DOM.querySelector", &json!({"nodeId": root, "selector": selector}))["nodeId"]
                .clone();
        self.command("DOM.setFileInputFiles", &json!({"nodeId": input, "files": files}));
    }

    /// Drops files on a place of the page, as a hand that comes from the files' window.
    pub fn drop_files(&mut self, (x, y): (f64, f64), files: &[&Path]) {
        let data = json!({"items": [], "files": files, "dragOperationsMask": 1});
        for kind in ["dragEnter", "dragOver", "drop"] {
            self.command("Input.dispatchDragEvent", &json!({"type": kind, "x": x, "y": y, "data": data}));
        }
    }

    /// Presses a key and lets go of it: `Tab` or `Enter`.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            _ => panic!("no key {key}"),
        };
        let event = |kind: &str, text: &str| json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.command("Input.dispatchKeyEvent", &event("keyDown", text));
        self.command("Input.dispatchKeyEvent", &event("keyUp", ""));
    }

    /// What the page's own thread does from now on is written down.
    pub fn begin_trace(&mut self) {
        self.trace.clear();
        let how =
            json!({"transferMode": "ReportEvents", "traceConfig": {"includedCategories": ["toplevel"]}});
        self.command("Tracing.start", &how);
    }

    /// The longest tasks of pages' own threads since then, each in milliseconds by the clock and of CPU, the longest first.
    pub fn end_trace(&mut self) -> Vec<(f64, f64)> {
        self.command("Tracing.end", &json!({}));
        while !self.traced {
            let event = self.message();
            self.heard(&event);
        }
        self.traced = false;
        let thread = |event: &Value| (event["pid"].as_u64(), event["tid"].as_u64());
        let named =
            |event: &&Value| event["name"] == "thread_name" && event["args"]["name"] == "CrRendererMain";
        let threads: Vec<_> = self.trace.iter().filter(named).map(thread).collect();
        let is_task = |event: &&Value| {
            event["name"] == "ThreadControllerImpl::RunTask"
                && event["ph"] == "X"
                && threads.contains(&thread(event))
        };
        let mut tasks: Vec<_> = self
            .trace
            .iter()
            .filter(is_task)
            .map(|task| {
                let clock = task["dur"].as_f64().unwrap();
                // A few have no CPU time: at the most what passed.
                (clock / 1e3, task["tdur"].as_f64().unwrap_or(clock) / 1e3)
            })
            .collect();
        tasks.sort_by(|a, b| b.0.total_cmp(&a.0));
        tasks
    }

    fn heard(&mut self, event: &Value) {
        let params = &event["params"];
        match event["method"].as_str() {
            Some("Tracing.dataCollected") => {
                self.trace.extend(params["value"].as_array().into_iter().flatten().cloned());
            }
            Some("Tracing.tracingComplete") => self.traced = true,
            _ => {}
        }
        let complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(&params["exceptionDetails"]),
            Some("Runtime.consoleAPICalled")
                if matches!(params["type"].as_str(), Some("error" | "warning" | "assert")) =>
            {
                Some(&params["args"])
            }
            Some("Log.entryAdded")
                if matches!(params["entry"]["level"].as_str(), Some("error" | "warning")) =>
            {
                Some(&params["entry"])
            }
            _ => None,
        };
        self.complaints.extend(complaint.map(ToString::to_string));
    }

    fn command(&mut self, method: &str, params: &Value) -> Value {
        self.count += 1;
        let mut command = json!({"id": self.count, "method": method, "params": params});
        if !self.session.is_empty() {
            command["sessionId"] = self.session.clone().into();
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("Chromium takes commands");
        loop {
            let mut message = self.message();
            // All else are events.
            if message["id"] == self.count {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.heard(&message);
        }
    }

    fn message(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).unwrap();
        assert_eq!(message.pop(), Some(0), "Chromium has ended");
        serde_json::from_slice(&message).unwrap()
    }
}
