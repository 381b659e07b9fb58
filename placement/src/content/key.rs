use super::ContentId;
use crate::profile::ProfileName;

/// What a result is made of: the input, and the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// SHA-256 of the input.
    pub content: ContentId,
    /// Name of the profile.
    pub profile: ProfileName,
    /// What the profile says: [`HasRecipe::recipe_id`]. Nodes may have different recipes under one name.
    pub recipe: ContentId,
}

/// A profile, as far as it is a part of a result's name.
pub trait HasRecipe {
    /// What it is called.
    fn profile_name(&self) -> &ProfileName;
    /// A digest of all that it says.
    fn recipe_id(&self) -> ContentId;
}

impl<R: HasRecipe> HasRecipe for std::sync::Arc<R> {
    fn profile_name(&self) -> &ProfileName {
        (**self).profile_name()
    }

    fn recipe_id(&self) -> ContentId {
        (**self).recipe_id()
    }
}

impl Key {
    /// The key of that input under that profile.
    pub fn new(content: ContentId, profile: &impl HasRecipe) -> Self {
        Self { content, profile: profile.profile_name().clone(), recipe: profile.recipe_id() }
    }
}
