use std::sync::Arc;

use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{Resolution, Resolver};

/// Asks several resolvers and believes the first, in their order, that knows an endpoint of the service.
///
/// When none does, an empty answer counts more than none at all. It waits for an answer of every resolver that stands
/// before the one it believes.
#[derive(Debug, Clone)]
pub struct FallbackResolver(Vec<Arc<dyn Resolver>>);

impl FallbackResolver {
    /// Over these resolvers, the most trusted first. Without any, services are never resolved.
    pub fn new(resolvers: impl IntoIterator<Item = Arc<dyn Resolver>>) -> Self {
        Self(resolvers.into_iter().collect())
    }
}

impl Resolver for FallbackResolver {
    fn watch(&self, service: &str) -> BoxStream<'static, Resolution> {
        let watches = self.0.iter().enumerate();
        let watches =
            watches.map(|(place, resolver)| resolver.watch(service).map(move |answer| (place, answer)).boxed());
        let answers = stream::select_all(watches);
        let state = (vec![None; self.0.len()], None);
        // The stream of a resolver never ends, not even that of no resolvers.
        let merged =
            answers.scan(state, |(latest, told): &mut (Vec<Option<Resolution>>, Option<Resolution>), answer| {
                let (place, answer) = answer;
                latest[place] = Some(answer);
                let choice = believe(latest);
                let news = if choice == *told { None } else { choice };
                if news.is_some() {
                    told.clone_from(&news);
                }
                std::future::ready(Some(news))
            });
        merged.filter_map(std::future::ready).chain(stream::pending()).boxed()
    }

    fn refresh(&self, service: &str) {
        for resolver in &self.0 {
            resolver.refresh(service);
        }
    }

    fn is_configured(&self) -> bool {
        self.0.iter().all(|resolver| resolver.is_configured())
    }
}

fn believe(latest: &[Option<Resolution>]) -> Option<Resolution> {
    let mut empty = None;
    let mut unavailable = None;
    for answer in latest {
        // Nothing is told while a resolver that counts more has not spoken.
        match answer.as_ref()? {
            Resolution::Snapshot(set) if !set.is_empty() => return answer.clone(),
            Resolution::Snapshot(_) => empty = empty.or_else(|| answer.clone()),
            Resolution::Unavailable { .. } => unavailable = answer.clone(),
        }
    }
    empty.or(unavailable)
}

#[cfg(test)]
mod tests {
    use sap_comm_core::{Endpoint, EnvResolver, StaticResolver};

    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    fn is(resolution: &Resolution, text: &str) -> bool {
        matches!(resolution, Resolution::Snapshot(set) if set.as_slice() == [endpoint(text)])
    }

    #[tokio::test]
    async fn the_first_that_knows_is_believed() {
        let (first, second) = (StaticResolver::new(), StaticResolver::new());
        second.set("user-service", [endpoint("http://second:2")]);
        let resolvers: [Arc<dyn Resolver>; 3] =
            [Arc::new(EnvResolver::new()), Arc::new(first.clone()), Arc::new(second.clone())];
        let mut watch = FallbackResolver::new(resolvers).watch("user-service");
        assert!(is(&watch.next().await.unwrap(), "http://second:2"));
        first.set("user-service", [endpoint("http://first:1")]);
        assert!(is(&watch.next().await.unwrap(), "http://first:1"));
        second.set("user-service", [endpoint("http://second:3")]);
        first.set("user-service", []);
        assert!(is(&watch.next().await.unwrap(), "http://second:3"));
        second.set("user-service", []);
        assert!(matches!(watch.next().await, Some(Resolution::Snapshot(set)) if set.is_empty()));
    }

    #[tokio::test]
    async fn what_nobody_knows_is_unavailable() {
        let resolvers: [Arc<dyn Resolver>; 2] = [Arc::new(EnvResolver::new()), Arc::new(EnvResolver::new())];
        let mut watch = FallbackResolver::new(resolvers).watch("no-such-service");
        assert!(matches!(watch.next().await, Some(Resolution::Unavailable { .. })));
    }
}
