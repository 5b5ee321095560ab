//! A browser without JavaScript, for the tests of the enrolment pages: keeps the cookie, follows our own redirects, sends
//! the forms that it is shown.
use std::collections::BTreeMap;

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, StatusCode};

pub(crate) struct Browser {
    client: reqwest::Client,
    base: String,
    language: &'static str,
    pub(crate) cookie: Option<String>,
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    /// `url`: of the server at `base`, or a path there.
    pub(crate) async fn open(base: &str, url: &str) -> Self {
        Self::open_in(base, url, "en-US,en;q=0.8").await
    }

    pub(crate) async fn open_in(base: &str, url: &str, language: &'static str) -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none());
        let mut browser = Self {
            client: client.build().unwrap(),
            base: base.to_owned(),
            language,
            cookie: None,
            path: String::new(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            text: String::new(),
        };
        browser.go(url.strip_prefix(base).unwrap_or(url)).await;
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
        let request = with_form(self.client.post(format!("{}{action}", self.base)), form);
        self.path = action;
        self.send(request).await;
    }

    async fn send(&mut self, mut request: RequestBuilder) {
        loop {
            request = request
                .header("accept-language", self.language)
                .header("sec-fetch-site", "same-origin");
            if let Some(cookie) = &self.cookie {
                request = request.header("cookie", cookie);
            }
            let response = request.send().await.unwrap();
            (self.status, self.headers) = (response.status(), response.headers().clone());
            self.text = response.text().await.unwrap();
            if let Some((cookie, attributes)) = self.header("set-cookie").split_once(';') {
                assert!(
                    attributes.contains("HttpOnly") && attributes.contains("SameSite=Lax"),
                    "{attributes}"
                );
                self.cookie = Some(cookie.to_owned());
            }
            if self.status != StatusCode::SEE_OTHER || !self.header("location").starts_with('/') {
                return;
            }
            self.path = self.header("location").to_owned();
            request = self.client.get(format!("{}{}", self.base, self.path));
        }
    }

    /// Of the last page; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn sees(&self, text: &str) -> &Self {
        assert!(self.text.contains(text), "{text:?} is missing in:\n{}", self.text);
        self
    }

    pub(crate) fn title(&self) -> &str {
        between(&self.text, "<title>", "</title>")
    }
}

pub(crate) fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("{start} is missing in:\n{text}"));
    rest.split_once(end).unwrap().0
}

/// Gives a request a form as its body.
pub(crate) fn with_form<'a>(
    request: RequestBuilder,
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> RequestBuilder {
    let mut url = reqwest::Url::parse("http://form.invalid/").unwrap();
    url.query_pairs_mut().extend_pairs(entries);
    let body = url.query().unwrap_or_default().to_owned();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}
