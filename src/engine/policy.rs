//! Decides what is done to a picture: the one place to change when measurements say so.
//!
//! Found on 18 pictures, each at half its size in 15 states between untouched and blurred,
//! noisy and compressed, judged by PSNR and SSIM. The numbers were chosen on nine (camera,
//! chelsea, coins, rocket, brick, moon, page, ihc of scikit-image and china of
//! scikit-learn) and looked at on the other nine (astronaut, coffee, hubble, grass,
//! gravel, text, motorcycle, retina; flower). Means over all, in dB over Lanczos:
//!
//! | State | n0 | mean | n3 | half removed, n3 | removed, n3 |
//! | --- | --- | --- | --- | --- | --- |
//! | JPEG 95 | 1.06 | 0.87 | 0.03 | -0.32 | -0.66 |
//! | noise 4, JPEG 95 | 1.06 | 1.40 | 1.04 | 0.73 | 0.32 |
//! | JPEG 80 | 0.58 | 0.97 | 0.74 | 0.48 | 0.17 |
//! | JPEG 25 | -0.01 | 0.53 | 0.84 | 0.75 | 0.54 |
//! | mild: noise 4, JPEG 80 | 0.54 | 0.90 | 0.96 | 0.75 | 0.49 |
//! | noise 12, no JPEG | -0.12 | 1.21 | 2.01 | 2.95 | 2.76 |
//! | old: noise 12, JPEG 60 | -0.02 | 0.49 | 0.84 | 1.38 | 1.33 |
//! | bad: noise 20, JPEG 40 | -0.27 | 0.14 | 0.46 | 1.52 | 1.90 |
//!
//! *Mean* is that of the results of n0 and n3; *removed* is non-local means before the
//! network, of which half may be taken.
//!
//! What comes of choosing, in dB over Lanczos, and the worst of the pictures:
//!
//! | State | chosen on | worst | looked at | worst |
//! | --- | --- | --- | --- | --- |
//! | JPEG 95 | 0.75 | -0.23 | 1.31 | 0.18 |
//! | noise 4, JPEG 95 | 1.14 | 0.03 | 1.64 | 0.64 |
//! | JPEG 80 | 0.64 | -0.30 | 1.06 | 0.11 |
//! | mild | 0.87 | 0.18 | 0.96 | 0.04 |
//! | noise 12, no JPEG | 3.45 | 0.90 | 2.96 | -0.28 |
//! | old | 1.84 | 0.00 | 1.29 | -0.06 |
//! | bad | 2.44 | 0.32 | 1.54 | 0.10 |
//!
//! The worst are `china`, by n0 alone, and gravel under noise. What is done to old and bad
//! pictures in colour was strengthened once after the second nine had been looked at,
//! because skies kept worms of noise: for these two states they are not unseen.
//!
//! The same choice is the best at scale 1, where
//! the enlarged picture is shrunk again, but for clean pictures: nothing beats the input.
//! Beyond factor 2, a second pass of the network is as good as Lanczos (0.07 dB better
//! to 0.07 dB worse) and takes four times as long, so it is Lanczos.

use super::{nlm::Denoise, noise::Noise, waifu2x::Weights};

/// What is done to one picture, in this order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Plan {
    /// Non-local means.
    pub(super) denoise: Option<Denoise>,
    /// The networks that make the picture twice as large; of several, the mean. The rest
    /// is resizing.
    pub(super) enlarge: &'static [Weights],
    /// Whether the models that users add may be mixed in. What they make up is nearer to
    /// the truth than noise is, and farther from it than a clean picture.
    pub(super) sharpen: bool,
}

/// Seams of JPEG from which on a picture counts as compressed. Quality 95 had at most 1.8,
/// pictures never compressed 0.7.
const COMPRESSED: f32 = 2.0;
/// Seams from which on it counts as strongly compressed: about quality 40 and less.
const STRONGLY_COMPRESSED: f32 = 8.0;

/// Least deviation of noise, in 8-bit levels, that non-local means are used for. Noise that
/// was never compressed is what the mean of the networks copes with best, up to more.
const LEAST_NOISE: f32 = 4.0;
const LEAST_UNCOMPRESSED_NOISE: f32 = 6.0;
/// Deviation at which all that non-local means find would be removed, in gray and in
/// colour; of less noise, less.
const ALL_NOISE_GRAY: f32 = 14.0;
const ALL_NOISE_COLOUR: f32 = 11.0;
/// How much stronger compressed noise in colour is than what is measured: JPEG has taken
/// much of it from chroma.
const LOST_IN_CHROMA: f32 = 1.2;
/// Most that is removed. What is left keeps skin from looking like wax.
const MOST_REMOVED: f32 = 0.9;

/// Least deviation of noise that is more than clean pictures have.
const SLIGHT_NOISE: f32 = 1.5;
/// Blotches, as of compressed noise in a picture that was resized since, so that there
/// are no seams to know them by: least deviation on the coarse scale, and how small a part
/// of it is on the fine one. Texture can look like it, so the mean of the networks has to do.
const BLOTCHES: f32 = 4.8;
const BLOTCHES_FINE: f32 = 0.27;

/// Returns what to do to a picture with this noise, in colour or gray.
pub(super) fn plan(noise: Noise, in_colour: bool, scale: u8) -> Plan {
    let sigma = noise.sigma();
    let is_compressed = noise.blocking >= COMPRESSED;
    let is_strongly_compressed = noise.blocking >= STRONGLY_COMPRESSED;
    let least = match (is_compressed, in_colour) {
        (false, _) => LEAST_UNCOMPRESSED_NOISE,
        (true, false) => LEAST_NOISE,
        // Fur and fabric under slight compression look like noise of this strength.
        (true, true) if is_strongly_compressed || noise.is_evident() => LEAST_NOISE,
        (true, true) => f32::INFINITY,
    };
    if sigma >= least {
        let all = if in_colour { ALL_NOISE_COLOUR } else { ALL_NOISE_GRAY };
        let sigma = if in_colour && is_compressed { sigma * LOST_IN_CHROMA } else { sigma };
        let denoise = Some(Denoise { sigma, share: (sigma / all).min(MOST_REMOVED) });
        return Plan { denoise, enlarge: &[Weights::Photo3], sharpen: true };
    }
    let is_slight = noise.is_uncompressed() && noise.fine >= SLIGHT_NOISE;
    let is_blotchy = noise.coarse >= BLOTCHES && noise.fine < BLOTCHES_FINE * noise.coarse;
    let enlarge: &[Weights] = if is_strongly_compressed {
        &[Weights::Photo3]
    } else if is_compressed || is_slight || is_blotchy {
        &[Weights::Photo0, Weights::Photo3]
    } else if scale == 1 {
        &[]
    } else {
        &[Weights::Photo0]
    };
    Plan { denoise: None, enlarge, sharpen: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(fine: f32, coarse: f32, blocking: f32) -> Plan {
        plan(Noise { fine, coarse, blocking }, false, 2)
    }

    #[test]
    fn clean_pictures_are_only_enlarged_and_not_touched_at_scale_1() {
        // Measured: astronaut and, all texture, grass; JPEG 95.
        for (fine, coarse, blocking) in [(0.4, 1.2, 0.7), (9.5, 21.2, 0.0)] {
            let clean = planned(fine, coarse, blocking);
            assert_eq!(clean, Plan { denoise: None, enlarge: &[Weights::Photo0], sharpen: false });
            let same_size = plan(Noise { fine, coarse, blocking }, false, 1);
            assert_eq!(same_size, Plan { denoise: None, enlarge: &[], sharpen: false });
        }
    }

    #[test]
    fn the_more_noise_the_more_is_removed() {
        // Measured: camera at noise 7, 12 and 20 before JPEG; then without JPEG.
        let shares: Vec<f32> =
            [(2.1, 9.0, 6.9), (2.6, 11.3, 15.0), (3.8, 14.6, 21.5), (20.0, 20.0, 0.0)]
                .into_iter()
                .map(|(fine, coarse, blocking)| planned(fine, coarse, blocking))
                .inspect(|plan| assert_eq!(plan.enlarge, [Weights::Photo3]))
                .map(|plan| plan.denoise.unwrap().share)
                .collect();
        assert!(shares.is_sorted() && shares[0] < 0.5 && shares[3] <= MOST_REMOVED, "{shares:?}");
    }

    #[test]
    fn compressed_colour_is_treated_more_strongly() {
        // Measured: astronaut, old.
        let noise = Noise { fine: 1.3, coarse: 6.2, blocking: 13.6 };
        let [gray, colour] = [false, true].map(|colour| plan(noise, colour, 2).denoise.unwrap());
        assert!(colour.sigma > gray.sigma && colour.share > gray.share);
    }

    #[test]
    fn what_is_between_gets_the_mean() {
        // Measured: JPEG 80; a little noise without JPEG; blotches without seams.
        for (fine, coarse, blocking) in [(0.3, 0.7, 4.4), (4.2, 5.3, 0.2), (1.1, 6.5, 0.3)] {
            let plan = planned(fine, coarse, blocking);
            assert_eq!(plan.denoise, None);
            assert_eq!(plan.enlarge, [Weights::Photo0, Weights::Photo3]);
        }
    }

    #[test]
    fn texture_is_not_removed_however_strong_the_seams() {
        // Measured: gravel in JPEG 25.
        let plan = planned(2.8, 26.1, 32.1);
        assert_eq!(plan, Plan { denoise: None, enlarge: &[Weights::Photo3], sharpen: false });
    }
}
