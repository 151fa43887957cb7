use std::sync::Arc;

use super::{BalancerConfig, candidate::Candidate};

/// With different weights, loads within this factor leave the choice to the weights.
const TOLERANCE: f64 = 2.0;

/// Power of two choices: draws two by weight, the first wins unless the second has less load.
pub(super) fn choose<'a>(set: &'a [Arc<Candidate>], now: u64, config: &BalancerConfig) -> Option<&'a Arc<Candidate>> {
    if set.len() < 2 {
        return set.first();
    }
    let panics = panics(set, now, config);
    let by_standing = |candidate: &Candidate| {
        if !panics && candidate.is_ejected(now) { 0.0 } else { candidate.weight(now, config) }
    };
    // When every weight is zero, weights say nothing; nor do they when only ejected endpoints have one.
    pair(set, by_standing, now, config)
        .or_else(|| pair(set, |candidate| candidate.weight(now, config), now, config))
        .or_else(|| pair(set, |_| 1.0, now, config))
}

/// Those of a set that [`choose`] would choose, did the others not have less load.
pub(super) fn eligible<'a>(
    set: &'a [Arc<Candidate>],
    now: u64,
    config: &BalancerConfig,
) -> impl Iterator<Item = &'a Arc<Candidate>> {
    let panics = panics(set, now, config);
    let stands = move |candidate: &Candidate| panics || !candidate.is_ejected(now);
    let weighs = |candidate: &Candidate| candidate.endpoint().weight() > 0;
    let some_weigh = set.iter().any(|candidate| weighs(candidate));
    let some_stand = set.iter().any(|candidate| stands(candidate) && (weighs(candidate) || !some_weigh));
    set.iter().filter(move |candidate| (weighs(candidate) || !some_weigh) && (stands(candidate) || !some_stand))
}

/// Whether so few endpoints are left that leaving out more would overload them.
pub(super) fn panics(set: &[Arc<Candidate>], now: u64, config: &BalancerConfig) -> bool {
    let ejected = set.iter().filter(|candidate| candidate.is_ejected(now)).count();
    let left = 1.0 - ejected as f64 / set.len().max(1) as f64;
    left < config.panic_threshold()
}

fn pair<'a>(
    set: &'a [Arc<Candidate>],
    weight: impl Fn(&Candidate) -> f64,
    now: u64,
    config: &BalancerConfig,
) -> Option<&'a Arc<Candidate>> {
    let first = draw(set, &weight)?;
    let Some(second) = draw(set, |candidate| if std::ptr::eq(candidate, &**first) { 0.0 } else { weight(candidate) })
    else {
        return Some(first);
    };
    let (one, two) = (weight(first), weight(second));
    let mean = f64::midpoint(one, two);
    let tolerance = if first.endpoint().weight() == second.endpoint().weight() { 1.0 } else { TOLERANCE };
    let decay = config.latency_decay();
    let less_load = second.load(two / mean, now, decay) * tolerance < first.load(one / mean, now, decay);
    Some(if less_load { second } else { first })
}

/// Draws one with a chance that is its weight's share.
fn draw(set: &[Arc<Candidate>], weight: impl Fn(&Candidate) -> f64) -> Option<&Arc<Candidate>> {
    let total: f64 = set.iter().map(|candidate| weight(candidate)).sum();
    let mut left = fastrand::f64() * total;
    let mut last = None;
    for candidate in set {
        let weight = weight(candidate);
        if weight > 0.0 {
            last = Some(candidate);
            if left < weight {
                break;
            }
            left -= weight;
        }
    }
    last
}
