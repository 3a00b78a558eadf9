//! Paths of values to take out or to keep, followed level by level as a document is read.
//!
//! A path is a small automaton: each bit of a state says that so many steps are matched, and `**`
//! is what makes it more than one bit. What a document costs is bounded by paths times levels.

use super::names::{Named, normalise};
use super::rules::{RuleError, RuleId};
use crate::json::{array_index, unescape_pointer};

/// Steps of one path: each is a bit of the state, and one more says that all are matched.
const MAX_STEPS: usize = u64::BITS as usize - 1;

/// One path, compiled.
pub(super) struct Path {
    steps: Vec<Step>,
    effect: Effect,
    /// Whether one of the steps is `**`.
    is_deep: bool,
}

/// What a path does with what it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Has a rule of the endpoint's act on it.
    Act(RuleId),
    /// Has a rule of the endpoint's keep it.
    Exempt(RuleId),
    /// Takes it out unless the endpoint keeps it.
    Default(RuleId),
    /// Keeps it from what is taken out by default.
    Keep,
}

enum Step {
    /// A key by its normalised name, or an index.
    Named {
        name: Box<[u8]>,
        index: Option<usize>,
    },
    /// `*`: whatever stands on this level.
    Any,
    /// `**`: any number of levels, none included.
    Deep,
}

/// Where a value stands in the object or array around it.
#[derive(Clone, Copy)]
pub(super) enum Place<'n> {
    /// Under a key, normalised.
    Key(&'n [u8]),
    /// At an index.
    Index(usize),
}

/// All paths of an endpoint.
#[derive(Default)]
pub(super) struct Paths {
    list: Vec<Path>,
}

impl Path {
    /// Reads a path that begins with a slash.
    pub(super) fn parse(rule: &str, effect: Effect) -> Result<Self, RuleError> {
        let malformed = |why: &str| RuleError::malformed(rule, why);
        let steps: Vec<Step> = rule
            .split('/')
            .skip(1)
            .map(|part| Step::parse(part).ok_or_else(|| malformed("has a `~` without 0 or 1")))
            .collect::<Result<_, _>>()?;
        match steps.len() {
            ..=MAX_STEPS => Ok(Self {
                is_deep: steps.iter().any(|step| matches!(step, Step::Deep)),
                steps,
                effect,
            }),
            _ => Err(malformed("is longer than 63 levels")),
        }
    }

    /// The state before the first level.
    fn begin(&self) -> u64 {
        self.with_skipped(1)
    }

    /// The state after going down to a place.
    fn advance(&self, state: u64, place: Place<'_>) -> u64 {
        let (mut next, mut rest) = (0, state);
        while let Some(step) = self.steps.get(rest.trailing_zeros() as usize) {
            let bit = rest & rest.wrapping_neg();
            next |= match step {
                Step::Deep => bit,
                step if step.matches(place) => bit << 1,
                _ => 0,
            };
            rest ^= bit;
        }
        self.with_skipped(next)
    }

    /// Adds the states that `**` reaches by standing for nothing.
    fn with_skipped(&self, mut state: u64) -> u64 {
        if !self.is_deep {
            return state;
        }
        for (bit, step) in self.steps.iter().enumerate() {
            if matches!(step, Step::Deep) {
                state |= (state >> bit & 1) << (bit + 1);
            }
        }
        state
    }

    fn is_matched(&self, state: u64) -> bool {
        state >> self.steps.len() & 1 == 1
    }
}

impl Step {
    fn parse(part: &str) -> Option<Self> {
        Some(match part {
            "*" => Self::Any,
            "**" => Self::Deep,
            part => {
                let key = unescape_pointer(part)?;
                let mut name = Vec::new();
                normalise(&key, &mut name);
                Self::Named {
                    index: array_index(&key),
                    name: name.into(),
                }
            }
        })
    }

    fn matches(&self, place: Place<'_>) -> bool {
        match (self, place) {
            (Self::Any | Self::Deep, _) => true,
            (Self::Named { name, .. }, Place::Key(key)) => **name == *key,
            (Self::Named { index, .. }, Place::Index(at)) => *index == Some(at),
        }
    }
}

impl Paths {
    pub(super) fn add(&mut self, path: Path) {
        self.list.push(path);
    }
}

/// A path that may still match something below.
#[derive(Clone, Copy)]
struct Live<'r> {
    path: &'r Path,
    state: u64,
}

/// How far the paths are matched on the way from the top to the current value.
pub(super) struct Trail<'r> {
    /// The live paths of all levels, the current one's last.
    live: Vec<Live<'r>>,
    /// Where in `live` each level begins.
    levels: Vec<usize>,
}

impl<'r> Trail<'r> {
    /// Stands at the top of a document, and says what is to become of it as a whole.
    pub(super) fn start(paths: &'r Paths) -> (Self, Named) {
        let mut trail = Self {
            live: Vec::new(),
            levels: vec![0],
        };
        let mut named = Named::default();
        for path in &paths.list {
            trail.note(path, path.begin(), &mut named);
        }
        (trail, named)
    }

    /// Stands at the top of a document inside a string: paths match it both where it stands and as
    /// if it stood alone, but it is kept only where it stands.
    pub(super) fn inside(&self, paths: &'r Paths) -> Self {
        let here = self.levels.last().copied().unwrap_or_default();
        let acts = |path: &&Path| !matches!(path.effect, Effect::Keep | Effect::Exempt(_));
        let alone = paths.list.iter().filter(acts).map(|path| Live {
            path,
            state: path.begin(),
        });
        Self {
            live: self.live[here..].iter().copied().chain(alone).collect(),
            levels: vec![0],
        }
    }

    /// Tells whether a path may match something below the current value.
    #[inline]
    pub(super) fn leads_on(&self) -> bool {
        self.live.len() > self.levels.last().copied().unwrap_or_default()
    }

    /// Goes down to a value, and says what is to become of it.
    pub(super) fn enter(&mut self, place: Place<'_>) -> Named {
        let above = self.levels.last().copied().unwrap_or_default()..self.live.len();
        self.levels.push(self.live.len());
        let mut named = Named::default();
        for at in above {
            let Live { path, state } = self.live[at];
            self.note(path, path.advance(state, place), &mut named);
        }
        named
    }

    /// Goes up again.
    pub(super) fn leave(&mut self) {
        if let Some(here) = self.levels.pop() {
            self.live.truncate(here);
        }
    }

    fn note(&mut self, path: &'r Path, state: u64, named: &mut Named) {
        if path.is_matched(state) {
            match path.effect {
                Effect::Act(id) | Effect::Exempt(id) => first(&mut named.explicit, id),
                Effect::Default(id) => first(&mut named.default, id),
                Effect::Keep => named.kept = true,
            }
        }
        // Where only the last bit is set, nothing below can match.
        if state & !(1 << path.steps.len()) != 0 {
            self.live.push(Live { path, state });
        }
    }
}

/// Keeps the rule that comes first.
fn first(kept: &mut Option<RuleId>, id: RuleId) {
    *kept = Some(kept.map_or(id, |kept| kept.min(id)));
}
