//! Takes transparency apart from colour, so that a network sees colour alone.
//!
//! What lies under full transparency is arbitrary, often black, and a network would draw
//! its edge into what is seen. So hidden pixels first take the colour of the seen ones
//! around them. Alpha itself is not for a network: it is resized.

use image::{DynamicImage, ImageBuffer, Luma, LumaA, Pixel, Rgb, Rgba};

use super::sample::Sample;

/// Farthest that seen colour spreads, in pixels: as far as the networks look.
const REACH: usize = 10;

/// Returns the colour of `picture`, and its alpha as a gray picture. `None` when it has
/// no alpha, or is of a kind other than 8 or 16 bits.
pub(super) fn split(picture: &DynamicImage) -> Option<(DynamicImage, DynamicImage)> {
    use DynamicImage as D;
    Some(match picture {
        D::ImageLumaA8(buffer) => {
            let (colour, alpha) = take_apart::<_, Luma<u8>, _>(buffer);
            (D::ImageLuma8(colour), D::ImageLuma8(alpha))
        }
        D::ImageRgba8(buffer) => {
            let (colour, alpha) = take_apart::<_, Rgb<u8>, _>(buffer);
            (D::ImageRgb8(colour), D::ImageLuma8(alpha))
        }
        D::ImageLumaA16(buffer) => {
            let (colour, alpha) = take_apart::<_, Luma<u16>, _>(buffer);
            (D::ImageLuma16(colour), D::ImageLuma16(alpha))
        }
        D::ImageRgba16(buffer) => {
            let (colour, alpha) = take_apart::<_, Rgb<u16>, _>(buffer);
            (D::ImageRgb16(colour), D::ImageLuma16(alpha))
        }
        _ => return None,
    })
}

/// Puts together what [`split`] took apart. Returns `colour` alone if the two do not
/// belong together.
pub(super) fn join(colour: DynamicImage, alpha: &DynamicImage) -> DynamicImage {
    use DynamicImage as D;
    match (colour, alpha) {
        (D::ImageLuma8(colour), D::ImageLuma8(alpha)) => {
            D::ImageLumaA8(put_together::<_, LumaA<u8>, _>(&colour, alpha))
        }
        (D::ImageRgb8(colour), D::ImageLuma8(alpha)) => {
            D::ImageRgba8(put_together::<_, Rgba<u8>, _>(&colour, alpha))
        }
        (D::ImageLuma16(colour), D::ImageLuma16(alpha)) => {
            D::ImageLumaA16(put_together::<_, LumaA<u16>, _>(&colour, alpha))
        }
        (D::ImageRgb16(colour), D::ImageLuma16(alpha)) => {
            D::ImageRgba16(put_together::<_, Rgba<u16>, _>(&colour, alpha))
        }
        (colour, _) => colour,
    }
}

type Buffer<P, S> = ImageBuffer<P, Vec<S>>;

fn take_apart<From, To, S>(picture: &Buffer<From, S>) -> (Buffer<To, S>, Buffer<Luma<S>, S>)
where
    From: Pixel<Subpixel = S>,
    To: Pixel<Subpixel = S>,
    S: Sample,
{
    let (width, height) = picture.dimensions();
    let colours = usize::from(To::CHANNEL_COUNT);
    let alpha =
        Buffer::from_fn(width, height, |x, y| Luma([picture.get_pixel(x, y).channels()[colours]]));
    let mut colour = Buffer::from_fn(width, height, |x, y| {
        *To::from_slice(&picture.get_pixel(x, y).channels()[..colours])
    });
    cover(&mut colour, &alpha);
    (colour, alpha)
}

fn put_together<From, To, S>(colour: &Buffer<From, S>, alpha: &Buffer<Luma<S>, S>) -> Buffer<To, S>
where
    From: Pixel<Subpixel = S>,
    To: Pixel<Subpixel = S>,
    S: Sample,
{
    let mut joined = Buffer::<To, S>::new(colour.width(), colour.height());
    for (pixel, (colour, alpha)) in joined.pixels_mut().zip(colour.pixels().zip(alpha.iter())) {
        let channels = pixel.channels_mut();
        let (last, others) = channels.split_last_mut().expect("a pixel with alpha has channels");
        others.copy_from_slice(colour.channels());
        *last = *alpha;
    }
    joined
}

/// Less than the faintest alpha of 16 bits, in 8-bit levels.
const LEAST_ALPHA: f64 = 0.5 / 257.0;

/// Gives each fully transparent pixel the mean colour of the seen pixels within reach,
/// weighted by their alpha. Where there are none it keeps its own.
fn cover<P, S>(colour: &mut Buffer<P, S>, alpha: &Buffer<Luma<S>, S>)
where
    P: Pixel<Subpixel = S>,
    S: Sample,
{
    if alpha.iter().all(|alpha| alpha.level() > 0.0) {
        return;
    }
    let height = alpha.height() as usize;
    // What is covered has no weight, so that it may be read again.
    let mut seen = Seen::new::<P>(alpha.width() as usize);
    (0..height.min(REACH)).for_each(|row| seen.add_row(colour, alpha, row, 1.0));
    for row in 0..height {
        if row + REACH < height {
            seen.add_row(colour, alpha, row + REACH, 1.0);
        }
        if row > REACH {
            seen.add_row(colour, alpha, row - REACH - 1, -1.0);
        }
        seen.cover_row(colour, alpha, row);
    }
}

/// Sums over the rows in reach of one row, for each column: of each colour times alpha,
/// and last of alpha. In `f64`, where sums of levels that come and go leave no rest that
/// matters.
struct Seen {
    sums: Vec<f64>,
    /// Colours and alpha.
    channels: usize,
}

impl Seen {
    fn new<P: Pixel>(width: usize) -> Self {
        let channels = usize::from(P::CHANNEL_COUNT) + 1;
        Self { sums: vec![0.0; width * channels], channels }
    }

    /// Adds a row, or takes it away with a `sign` of -1.
    fn add_row<P, S>(
        &mut self,
        colour: &Buffer<P, S>,
        alpha: &Buffer<Luma<S>, S>,
        row: usize,
        sign: f64,
    ) where
        P: Pixel<Subpixel = S>,
        S: Sample,
    {
        let width = alpha.width() as usize;
        let colours = self.channels - 1;
        let alphas = &alpha.as_raw()[row * width..][..width];
        let pixels = colour.as_raw()[row * width * colours..].chunks_exact(colours);
        for (sums, (pixel, alpha)) in
            self.sums.chunks_exact_mut(self.channels).zip(pixels.zip(alphas))
        {
            let weight = f64::from(alpha.level()) * sign;
            for (sum, sample) in sums.iter_mut().zip(pixel) {
                *sum += weight * f64::from(sample.level());
            }
            sums[colours] += weight;
        }
    }

    /// Covers what is hidden in the row that the sums belong to.
    #[expect(clippy::cast_possible_truncation, reason = "a level in f32 is precise enough")]
    fn cover_row<P, S>(&self, colour: &mut Buffer<P, S>, alpha: &Buffer<Luma<S>, S>, row: usize)
    where
        P: Pixel<Subpixel = S>,
        S: Sample,
    {
        let width = alpha.width() as usize;
        let colours = self.channels - 1;
        let samples: &mut [S] = colour;
        for column in 0..width {
            let at = row * width + column;
            if alpha.as_raw()[at].level() > 0.0 {
                continue;
            }
            let from = column.saturating_sub(REACH) * self.channels;
            let to = (column + REACH + 1).min(width) * self.channels;
            let total = |channel: usize| -> f64 {
                self.sums[from..to].iter().skip(channel).step_by(self.channels).sum()
            };
            let weight = total(colours);
            if weight < LEAST_ALPHA {
                continue;
            }
            for (channel, sample) in samples[at * colours..][..colours].iter_mut().enumerate() {
                *sample = S::from_level((total(channel) / weight) as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{ColorType, GrayAlphaImage, RgbaImage};

    use super::*;

    #[test]
    fn what_is_taken_apart_comes_together_again() {
        let picture = DynamicImage::from(RgbaImage::from_fn(9, 5, |x, y| {
            let level = |value: u32| u8::try_from(value).unwrap();
            Rgba([level(x), level(y), level(x * y), level(1 + x + y)])
        }));
        for color in [ColorType::La8, ColorType::Rgba8, ColorType::La16, ColorType::Rgba16] {
            let picture = match color {
                ColorType::La8 => picture.to_luma_alpha8().into(),
                ColorType::La16 => picture.to_luma_alpha16().into(),
                ColorType::Rgba16 => picture.to_rgba16().into(),
                _ => picture.clone(),
            };
            let (colour, alpha) = split(&picture).unwrap();
            assert!(join(colour, &alpha) == picture, "{color:?}");
        }
        assert!(split(&DynamicImage::new_rgb8(1, 1)).is_none());
    }

    #[test]
    fn hidden_colour_is_covered_by_what_is_seen_near_it() {
        let picture = GrayAlphaImage::from_fn(60, 30, |x, _| {
            if x < 20 { LumaA([90, 255]) } else { LumaA([255, 0]) }
        });
        let (colour, alpha) = split(&picture.into()).unwrap();
        let colour = colour.to_luma8();
        assert!((0..30).all(|x| colour.get_pixel(x, 29).0[0] == 90));
        assert!((30..60).all(|x| colour.get_pixel(x, 0).0[0] == 255), "too far to matter");
        assert_eq!(alpha.to_luma8().get_pixel(20, 0).0[0], 0);
    }

    #[test]
    fn faint_pixels_keep_their_colour() {
        let picture =
            GrayAlphaImage::from_fn(
                8,
                8,
                |x, _| {
                    if x < 4 { LumaA([90, 255]) } else { LumaA([200, 1]) }
                },
            );
        let (colour, _) = split(&picture.into()).unwrap();
        assert_eq!(colour.to_luma8().get_pixel(6, 3).0[0], 200);
    }
}
