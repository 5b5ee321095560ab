//! A browser without JavaScript: keeps the cookie, follows our own redirects, sends the forms that it is shown.
use std::collections::BTreeMap;

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};

pub(crate) struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: Option<String>,
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) location: String,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) async fn open(base: &str, path: &str) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let mut browser = Self {
            client: client.build().unwrap(),
            base: base.to_owned(),
            cookie: None,
            path: String::new(),
            status: StatusCode::OK,
            location: String::new(),
            text: String::new(),
        };
        browser.go(path).await;
        browser
    }

    pub(crate) async fn go(&mut self, path: &str) {
        let request = self.client.get(format!("{}{path}", self.base));
        path.clone_into(&mut self.path);
        self.send(request).await;
    }

    /// Sends the first form of the page with its hidden field and these entries.
    pub(crate) async fn submit(&mut self, entries: &[(&str, &str)]) {
        let action = between(&self.text, "<form method=\"post\" action=\"", "\"").to_owned();
        let csrf = between(&self.text, "name=\"csrf\" value=\"", "\"").to_owned();
        let mut form: BTreeMap<&str, &str> = entries.iter().copied().collect();
        form.insert("csrf", &csrf);
        let url = reqwest::Url::parse_with_params("http://form", form).unwrap();
        let request = self.client.post(format!("{}{action}", self.base));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(url.query().unwrap_or_default().to_owned());
        self.path = action;
        self.send(request).await;
    }

    async fn send(&mut self, mut request: RequestBuilder) {
        loop {
            request = request.header("sec-fetch-site", "same-origin");
            if let Some(cookie) = &self.cookie {
                request = request.header("cookie", cookie);
            }
            let response = request.send().await.unwrap();
            let header = |name: &str| {
                let value = response.headers().get(name);
                value.map_or("", |value| value.to_str().unwrap()).to_owned()
            };
            if let Some((cookie, _)) = header("set-cookie").split_once(';') {
                self.cookie = Some(cookie.to_owned());
            }
            (self.status, self.location) = (response.status(), header("location"));
            self.text = response.text().await.unwrap();
            if self.status != StatusCode::SEE_OTHER || !self.location.starts_with('/') {
                return;
            }
            self.path = self.location.clone();
            request = self.client.get(format!("{}{}", self.base, self.path));
        }
    }

    pub(crate) fn sees(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "{text:?} is missing in:\n{}", self.text);
        self
    }

    pub(crate) fn title(&self) -> &str {
        between(&self.text, "<title>", "</title>")
    }
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("{start} is missing in:\n{text}"));
    rest.split_once(end).unwrap().0
}
