//! The other roles that this process plays when it is started for them.

use std::path::Path;

use image::{DynamicImage, RgbImage};

use super::{Result, bare, service};

/// Words with which the benchmark starts itself in another role.
pub(super) const SERVE: &str = "--role=serve";
pub(super) const LOOP: &str = "--role=loop";

/// Plays another role when this process was started for it.
pub(super) async fn play(words: &[String]) -> Result<bool> {
    match words {
        [role, side] if role == SERVE => {
            let picture = picture(side.parse()?)?;
            service::instant(picture, |base| println!("{base}")).await?;
        }
        [role, base, pictures, at_once, folder @ ..] if role == LOOP => {
            let folder = folder.first().map(Path::new);
            bare::run(base, pictures.parse()?, at_once.parse()?, folder).await?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A PNG of noise: as many bytes as it has samples.
fn picture(side: u32) -> Result<Vec<u8>> {
    let mut samples = vec![0; side as usize * side as usize * 3];
    blake3::Hasher::new().update(b"picture").finalize_xof().fill(&mut samples);
    let pixels = RgbImage::from_raw(side, side, samples).ok_or("too few samples")?;
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels).write_to(&mut file, image::ImageFormat::Png)?;
    Ok(file.into_inner())
}
