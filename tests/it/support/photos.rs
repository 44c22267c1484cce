//! Pictures that can be told apart, and a server that has them.

use std::{fmt::Write as _, io::Cursor};

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use restore_batch::testing::scripted_server::{Reply, ScriptedServer};

use super::World;

/// Returns a colour that no other number below 65,536 has.
pub(crate) fn colour(number: usize) -> [u8; 3] {
    let [low, high, ..] = number.to_le_bytes();
    [low, high, 77]
}

/// Returns a small PNG in the colour of this number.
pub(crate) fn png(number: usize) -> Vec<u8> {
    let picture = RgbImage::from_pixel(6, 4, Rgb(colour(number)));
    let mut png = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A server of sources `/photo-0.png`, `/photo-1.png`, …
pub(crate) struct Photos {
    pub(crate) server: ScriptedServer,
    count: usize,
}

impl Photos {
    pub(crate) fn start(world: &World, count: usize) -> Self {
        let server = world.block_on(ScriptedServer::start(vec![]));
        server.otherwise(Reply::status(404));
        for number in 0..count {
            server.add(&format!("GET /photo-{number}.png"), Reply::ok(png(number)));
        }
        Self { server, count }
    }

    pub(crate) fn url(&self, number: usize) -> String {
        self.server.url(&format!("/photo-{number}.png"))
    }

    /// Returns a manifest with one row for each photo.
    pub(crate) fn manifest(&self) -> String {
        self.rows(0..self.count)
    }

    /// Returns a manifest with these photos.
    pub(crate) fn rows(&self, numbers: impl IntoIterator<Item = usize>) -> String {
        let mut text = "img,number\n".to_owned();
        for number in numbers {
            writeln!(text, "{},{number}", self.url(number)).unwrap();
        }
        text
    }
}
