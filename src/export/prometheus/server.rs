//! The HTTP side, on a thread of its own. Every client may be hostile: there are bounds for how many there are, how
//! long they may take, and how much they may send.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::{Snapshot, page};

/// Clients at once. One more takes the place of another one: who holds connections open locks nobody out.
const CLIENTS: usize = 64;
/// How long a client may take for its headers, and may stay without a request.
const HEADERS: Duration = Duration::from_secs(3);
/// How long a client may stay at all.
const LONGEST: Duration = Duration::from_secs(120);
/// How much of headers is read.
const LARGEST: usize = 16 << 10;
/// How long the loop may take: it may be busy with a large table, or be ending.
const PATIENCE: Duration = Duration::from_secs(5);
/// Scrapes within this time share a page.
const SHARED: Duration = Duration::from_secs(1);

/// Where the loop puts a snapshot.
pub type Reply = oneshot::Sender<Snapshot>;
/// Calls the loop for a snapshot. False: there is no loop any more.
pub type Ask = Box<dyn Fn(Reply) -> bool + Send + Sync>;

struct Server {
    ask: Ask,
    /// The latest page, and its time. All clients that wait for it wait for the same scrape.
    latest: Mutex<Option<(Instant, Bytes)>>,
}

/// Starts the thread. It ends with the process.
pub(super) fn start(listener: TcpListener, ask: Ask) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .context("cannot serve metrics")?;
    let server = Arc::new(Server {
        ask,
        latest: Mutex::new(None),
    });
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || runtime.block_on(serve(listener, server)))
        .context("cannot start a thread for metrics")?;
    Ok(())
}

async fn serve(listener: TcpListener, server: Arc<Server>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut clients = Clients::default();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free, most likely: a client has to go first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        clients.make_room();
        let is_asking = Arc::new(AtomicBool::new(false));
        let client = serve_client(stream, Arc::clone(&server), Arc::clone(&is_asking));
        clients.0.push(Client {
            is_asking,
            task: tokio::spawn(client).abort_handle(),
        });
    }
}

async fn serve_client(stream: TcpStream, server: Arc<Server>, is_asking: Arc<AtomicBool>) {
    let service = service_fn(|request| async {
        is_asking.store(true, Ordering::Relaxed);
        let response = answer(&server, request).await;
        is_asking.store(false, Ordering::Relaxed);
        response
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(LARGEST)
        .serve_connection(TokioIo::new(stream), service);
    // What goes wrong with a client is its own affair.
    let _ = timeout(LONGEST, connection).await;
}

/// A client that is connected.
struct Client {
    /// Whether it waits for a page; else it is idle.
    is_asking: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Those that are connected, oldest first.
#[derive(Default)]
struct Clients(Vec<Client>);

impl Clients {
    /// A new one needs a place: the oldest that is idle gives its own up, or the oldest of all.
    fn make_room(&mut self) {
        self.0.retain(|client| !client.task.is_finished());
        while self.0.len() >= CLIENTS {
            let mut clients = self.0.iter();
            let idle = clients.position(|client| !client.is_asking.load(Ordering::Relaxed));
            self.0.remove(idle.unwrap_or(0)).task.abort();
        }
    }
}

async fn answer(
    server: &Server,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            server.metrics(wants_open_metrics(&request)).await
        }
        (&Method::GET | &Method::HEAD, "/") => {
            let mut index = Response::new(Full::from(
                "<!doctype html><title>udptrack</title><p><a href=\"/metrics\">metrics</a>\n",
            ));
            let html = hyper::header::HeaderValue::from_static("text/html; charset=utf-8");
            index.headers_mut().insert(CONTENT_TYPE, html);
            index
        }
        (_, "/metrics" | "/") => {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            refusal
        }
        _ => plain(StatusCode::NOT_FOUND, "there is only /metrics\n"),
    };
    if request.method() == Method::HEAD {
        *response.body_mut() = Full::default();
    }
    Ok(response)
}

impl Server {
    async fn metrics(&self, open: bool) -> Response<Full<Bytes>> {
        match self.page().await {
            Ok(page) => {
                let (page, kind) = match std::str::from_utf8(&page) {
                    Ok(text) if open => (page::open_metrics(text).into(), page::OPEN_METRICS),
                    _ => (page, page::CONTENT_TYPE),
                };
                let mut response = Response::new(Full::new(page));
                let kind = hyper::header::HeaderValue::from_static(kind);
                response.headers_mut().insert(CONTENT_TYPE, kind);
                response
            }
            Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    async fn page(&self) -> Result<Bytes, &'static str> {
        let mut latest = self.latest.lock().await;
        if let Some((when, page)) = latest.as_ref()
            && when.elapsed() < SHARED
        {
            return Ok(page.clone());
        }
        let (reply, snapshot) = oneshot::channel();
        if !(self.ask)(reply) {
            return Err("udptrack is ending\n");
        }
        let Ok(Ok(snapshot)) = timeout(PATIENCE, snapshot).await else {
            return Err("udptrack is busy or ending: try again\n");
        };
        let page = page::write(&snapshot).map_err(|_| "the page cannot be written\n")?;
        let page = Bytes::from(page);
        *latest = Some((Instant::now(), page.clone()));
        Ok(page)
    }
}

/// Whether it is named among what the client takes.
fn wants_open_metrics(request: &Request<Incoming>) -> bool {
    let kinds = request.headers().get_all(ACCEPT).iter();
    kinds
        .filter_map(|kinds| kinds.to_str().ok())
        .any(|kinds| kinds.contains("application/openmetrics-text"))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
