//! The request that the running task or thread works for.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;

use super::span::Seen;
use super::{SpanId, TraceContext, TraceId};
use crate::content::{ClientTag, ContentId};

tokio::task_local! {
    static SCOPE: Scope;
}

/// A request, and what is known of it so far. Clones are the same request.
#[derive(Clone, Debug)]
pub struct Scope(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: TraceContext,
    /// Whose it is, and which video it is about: found out on the way.
    client: OnceLock<ClientTag>,
    content: OnceLock<ContentId>,
    seen: Seen,
}

impl Scope {
    /// A request in this trace.
    pub fn new(context: TraceContext) -> Self {
        let (client, content) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { context, client, content, seen: Seen::default() }))
    }

    /// Its place in its trace.
    pub fn context(&self) -> &TraceContext {
        &self.0.context
    }

    /// Its trace.
    pub fn trace_id(&self) -> TraceId {
        self.0.context.trace
    }

    /// Its own name in the trace.
    pub fn span_id(&self) -> SpanId {
        self.0.context.span
    }

    /// Takes note of whose it is, and of its video once that is known. What was noted stays.
    pub fn identify(&self, client: ClientTag, content: Option<ContentId>) {
        self.0.client.get_or_init(|| client);
        if let Some(content) = content {
            self.0.content.get_or_init(|| content);
        }
    }

    /// Whether it is known whose it is.
    pub fn is_identified(&self) -> bool {
        self.0.client.get().is_some()
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.0.seen
    }

    /// What every log line of it says, as name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let client = self.0.client.get().map(|client| ("client", client.to_string()));
        let content = self.0.content.get().map(|content| ("content", content.to_string()));
        [Some(("trace_id", self.trace_id().to_string())), client, content].into_iter().flatten()
    }
}

/// The request that this task or thread works for, if it works for one.
pub fn current() -> Option<Scope> {
    SCOPE.try_with(Clone::clone).ok()
}

/// [`Scope::identify`] of the current request, if there is one.
pub fn identify(client: ClientTag, content: Option<ContentId>) {
    if let Some(scope) = current() {
        scope.identify(client, content);
    }
}

/// Does work for this request.
pub fn within<F: Future>(scope: Scope, work: F) -> impl Future<Output = F::Output> {
    SCOPE.scope(scope, work)
}

/// The same on a thread; without a request it is just done.
pub fn within_sync<T>(scope: Option<&Scope>, work: impl FnOnce() -> T) -> T {
    match scope {
        Some(scope) => SCOPE.sync_scope(scope.clone(), work),
        None => work(),
    }
}

/// Work that stays with the current request wherever it is polled.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let scope = current();
    async move {
        match scope {
            Some(scope) => SCOPE.scope(scope, work).await,
            None => work.await,
        }
    }
}

/// [`tokio::spawn`] for the current request: who cancels the task is up to the caller.
pub fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(carried(work))
}

/// Does work to its end, in a task of its own for the current request. A request whose client is gone is dropped where it waits; what is
/// half done then would stay so.
pub async fn to_the_end<F>(work: F) -> F::Output
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

/// [`tokio::task::spawn_blocking`] for the current request.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let scope = current();
    tokio::task::spawn_blocking(move || within_sync(scope.as_ref(), work))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Option<TraceId> {
        current().map(|scope| scope.trace_id())
    }

    #[tokio::test]
    async fn tasks_and_threads_know_whose_request_they_are_at() {
        assert_eq!(trace(), None);
        let scope = Scope::new(TraceContext::new());
        let expected = Some(scope.trace_id());
        let inner = async {
            identify(ClientTag(1), None);
            let spawned = spawn(async {
                identify(ClientTag(2), Some(ContentId([7; 32])));
                trace()
            });
            assert_eq!(spawned.await.unwrap(), expected);
            assert_eq!(spawn_blocking(trace).await.unwrap(), expected);
            assert_eq!(tokio::spawn(async { trace() }).await.unwrap(), None, "tokio's own forgets it");
        };
        within(scope.clone(), inner).await;
        assert_eq!(within_sync(Some(&scope), trace), expected);
        assert_eq!(trace(), None);
        let fields: Vec<_> = scope.fields().collect();
        assert_eq!(
            fields,
            [
                ("trace_id", scope.trace_id().to_string()),
                ("client", ClientTag(1).to_string()),
                ("content", ContentId([7; 32]).to_string()),
            ]
        );
    }
}
