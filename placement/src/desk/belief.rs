//! What is believed of a difference that was learned of a few jobs: only what lies beyond their error.
//!
//! Two nodes that are equally fast never measure the same: the jobs of the one happened to be longer than they looked. To go by that
//! difference sends jobs over the WAN for nothing. So a learned figure gives way to what is thought without it, as far as its own jobs
//! allow: to the nearest figure that is not further than [`ERRORS`] standard errors away. What differs by more is believed but for that.
//!
//! Source: the limited translation of B. Efron and C. Morris, "Limiting the Risk of Bayes and Empirical Bayes Estimators", Journal of the
//! American Statistical Association 66 (1971) and 67 (1972); of the difference itself it is the soft threshold of D. L. Donoho and I. M.
//! Johnstone, "Ideal Spatial Adaptation by Wavelet Shrinkage", Biometrika 81 (1994).

/// Of the mean of many jobs 95 of 100 lie so near to the truth.
const ERRORS: f64 = 2.0;

/// How fast one worker is, as its jobs show it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Pixels of work a second.
    pub pixels_per_s: f64,
    /// The standard error of that, as a part of it; none where there are too few jobs to tell.
    pub error: Option<f64>,
}

impl Speed {
    /// What is told of it where others are as fast as `others`: that, as far as the jobs behind this one allow it.
    pub fn beside(&self, others: Option<f64>) -> f64 {
        others.map_or(self.pixels_per_s, |others| believed(others, self.pixels_per_s, self.error))
    }
}

/// What is believed where `thought` was thought, and then `learned` was learned, with this error as a part of it; none: nobody can tell.
pub fn believed(thought: f64, learned: f64, error: Option<f64>) -> f64 {
    let Some(error) = error else { return thought };
    // The error of a rate is as great upwards as downwards as a factor, and a factor is above 0.
    let most = (ERRORS * error).exp();
    thought.clamp(learned / most, learned * most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        assert!((got - expected).abs() < 1e-9 * expected, "{got} is not {expected}");
    }

    #[test]
    fn only_what_lies_beyond_the_error_is_believed() {
        near(believed(100.0, 110.0, Some(0.1)), 100.0);
        near(believed(100.0, 90.0, Some(0.1)), 100.0);
        near(believed(100.0, 400.0, Some(0.1)), 400.0 / 0.2f64.exp());
        near(believed(100.0, 25.0, Some(0.1)), 25.0 * 0.2f64.exp());
        near(believed(100.0, 25.0, Some(0.0)), 25.0);
        near(believed(100.0, 25.0, None), 100.0);
    }

    #[test]
    fn a_node_without_others_tells_what_it_has_measured() {
        let speed = Speed { pixels_per_s: 50.0, error: None };
        near(speed.beside(None), 50.0);
        near(speed.beside(Some(80.0)), 80.0);
        near(Speed { error: Some(0.1), ..speed }.beside(Some(80.0)), 50.0 * 0.2f64.exp());
    }
}
