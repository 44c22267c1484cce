//! Finds the faces of a picture with `CenterFace`.
//!
//! J. Xu and others, "`CenterFace`: Joint Face Detection and Alignment Using Face as
//! Point", <https://arxiv.org/abs/1911.03599>. The model is not part of the program:
//! users add it, see [`added`](super::added). What is done with the faces is not
//! decided here.

use image::DynamicImage;
use rten_tensor::{NdTensor, NdTensorView, Tensor, prelude::*};

use super::{
    contract::{EngineError, ModelId},
    onnx::Network,
    resize::{Kernel, resize},
};

/// A face, in pixels of the picture it was found in, edges of pixels being whole numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// How sure the model is, `0.5..=1.0`.
    pub score: f32,
    /// Left edge of its box.
    pub left: f32,
    /// Upper edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Lower edge.
    pub bottom: f32,
    /// Eyes, nose and corners of the mouth, as x and y; of eyes and corners the one at
    /// the picture's left first. They may lie outside the box.
    pub landmarks: [(f32, f32); 5],
}

/// `CenterFace`, loaded.
#[derive(Debug)]
pub(super) struct Detector {
    network: Network,
}

/// Scores above this are faces, as the authors have it.
const THRESHOLD: f32 = 0.5;
/// Of two boxes that share this much of the area they cover together, the less sure one
/// is not counted: the package that ships the model has it so.
const MOST_OVERLAP: f32 = 0.3;
/// Pixels of the picture in one cell of the model's outputs, in each direction.
const CELL: f32 = 4.0;
/// Width and height of the model's input are multiples of this.
const STEP: usize = 32;
/// Longest edge, in pixels, at which faces are looked for; larger pictures are shrunk
/// first. About 0.3 s and 330 MiB on two cores. A face needs about 12 pixels then.
const LONGEST_EDGE: u32 = 1024;

impl Detector {
    /// Makes a detector of the model.
    pub(super) fn new(network: Network) -> Self {
        Self { network }
    }

    /// Returns which model this is.
    pub(super) fn id(&self) -> &ModelId {
        self.network.id()
    }

    /// Returns the faces of `picture`, which has no alpha, the surest first.
    ///
    /// # Errors
    ///
    /// [`EngineError::Model`] when the model fails.
    pub(super) fn detect(&self, picture: &DynamicImage) -> Result<Vec<Face>, EngineError> {
        let (width, height) = (picture.width(), picture.height());
        let small = shrunk_size(width, height);
        let planes = planes(&resize(picture, small, Kernel::Area));
        let faces = decode(&self.run(planes)?).map_err(|reason| self.network.failure(&reason))?;
        let (across, down) = (ratio(width, small.0), ratio(height, small.1));
        let size = (pixels(width), pixels(height));
        Ok(faces.iter().filter_map(|face| face.scaled(across, down, size)).collect())
    }

    /// Returns the outputs of the model, on all cores.
    pub(super) fn run(&self, planes: NdTensor<f32, 4>) -> Result<Vec<Tensor<f32>>, EngineError> {
        self.network.run(planes, None)
    }
}

impl Face {
    /// Returns the face in a picture `across` times as wide, `down` times as high and of
    /// this size; `None` when its box is not in there at all.
    fn scaled(&self, across: f32, down: f32, (width, height): (f32, f32)) -> Option<Self> {
        let scaled = Self {
            score: self.score,
            left: (self.left * across).min(width),
            top: (self.top * down).min(height),
            right: (self.right * across).min(width),
            bottom: (self.bottom * down).min(height),
            landmarks: self.landmarks.map(|(x, y)| (x * across, y * down)),
        };
        (scaled.area() > 0.0).then_some(scaled)
    }

    fn area(&self) -> f32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// Returns the area in both boxes over the area in either.
    fn overlap(&self, other: &Self) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let both = width.max(0.0) * height.max(0.0);
        both / (self.area() + other.area() - both)
    }
}

/// Returns the faces in the model's outputs, in pixels of its input, the surest first, or
/// what is wrong with the outputs.
pub(super) fn decode(outputs: &[Tensor<f32>]) -> Result<Vec<Face>, String> {
    Maps::new(outputs).map(|maps| maps.faces())
}

/// What the model puts out for each cell.
struct Maps<'a> {
    heatmap: NdTensorView<'a, f32, 4>,
    scale: NdTensorView<'a, f32, 4>,
    offset: NdTensorView<'a, f32, 4>,
    landmarks: NdTensorView<'a, f32, 4>,
}

impl<'a> Maps<'a> {
    /// Takes the outputs in the order of the file, or tells what is wrong with them.
    fn new(outputs: &'a [Tensor<f32>]) -> Result<Self, String> {
        let [heatmap, scale, offset, landmarks] = outputs else {
            return Err(format!("it has {} outputs instead of 4", outputs.len()));
        };
        let [rows, columns] = match *heatmap.shape() {
            [1, 1, rows, columns] => [rows, columns],
            ref shape => return Err(format!("its heatmap has the shape {shape:?}")),
        };
        let map = |tensor: &'a Tensor<f32>, channels| {
            NdTensorView::<f32, 4>::try_from(tensor.view())
                .ok()
                .filter(|map| map.shape() == [1, channels, rows, columns])
                .ok_or_else(|| format!("an output has the shape {:?}", tensor.shape()))
        };
        Ok(Self {
            heatmap: map(heatmap, 1)?,
            scale: map(scale, 2)?,
            offset: map(offset, 2)?,
            landmarks: map(landmarks, 10)?,
        })
    }

    /// Returns the faces, the surest first.
    fn faces(&self) -> Vec<Face> {
        let [_, _, rows, columns] = self.heatmap.shape();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut faces: Vec<_> = cells.filter_map(|(row, column)| self.face(row, column)).collect();
        faces.sort_by(|one, other| other.score.total_cmp(&one.score));
        let mut kept: Vec<Face> = Vec::new();
        for face in faces {
            if kept.iter().all(|better| face.overlap(better) < MOST_OVERLAP) {
                kept.push(face);
            }
        }
        kept
    }

    /// Returns the face whose centre lies in a cell.
    fn face(&self, row: usize, column: usize) -> Option<Face> {
        let [_, _, rows, columns] = self.heatmap.shape();
        let score = self.heatmap[[0, 0, row, column]];
        if score.is_nan() || score <= THRESHOLD {
            return None;
        }
        let (most_x, most_y) = (cells(columns) * CELL, cells(rows) * CELL);
        // Vertical comes first in all outputs.
        let height = self.scale[[0, 0, row, column]].exp() * CELL;
        let width = self.scale[[0, 1, row, column]].exp() * CELL;
        let middle_y = (cells(row) + self.offset[[0, 0, row, column]] + 0.5) * CELL;
        let middle_x = (cells(column) + self.offset[[0, 1, row, column]] + 0.5) * CELL;
        let left = (middle_x - width / 2.0).clamp(0.0, most_x);
        let top = (middle_y - height / 2.0).clamp(0.0, most_y);
        let landmark = |index: usize| {
            let y = top + self.landmarks[[0, 2 * index, row, column]] * height;
            let x = left + self.landmarks[[0, 2 * index + 1, row, column]] * width;
            (x, y)
        };
        Some(Face {
            score,
            left,
            top,
            right: (left + width).min(most_x),
            bottom: (top + height).min(most_y),
            landmarks: std::array::from_fn(landmark),
        })
    }
}

/// Returns the size at which faces are looked for.
fn shrunk_size(width: u32, height: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= LONGEST_EDGE {
        return (width, height);
    }
    let shrink =
        |edge: u32| (u64::from(edge) * u64::from(LONGEST_EDGE) / u64::from(longest)).max(1);
    let shrink = |edge: u32| u32::try_from(shrink(edge)).unwrap_or(LONGEST_EDGE);
    (shrink(width), shrink(height))
}

/// Returns RGB in `0.0..=255.0`, with black at the right and below up to the next
/// multiple of [`STEP`].
fn planes(picture: &DynamicImage) -> NdTensor<f32, 4> {
    let picture = picture.to_rgb8();
    let edge = |edge: u32| (edge as usize).next_multiple_of(STEP);
    let mut planes = NdTensor::zeros([1, 3, edge(picture.height()), edge(picture.width())]);
    for (x, y, pixel) in picture.enumerate_pixels() {
        for (channel, &sample) in pixel.0.iter().enumerate() {
            planes[[0, channel, y as usize, x as usize]] = f32::from(sample);
        }
    }
    planes
}

fn ratio(whole: u32, part: u32) -> f32 {
    pixels(whole) / pixels(part)
}

/// Exact for every picture that can be decoded: below 2^24 pixels an edge.
#[expect(clippy::cast_precision_loss, reason = "edges of pictures are below 2^24")]
fn pixels(edge: u32) -> f32 {
    edge as f32
}

#[expect(clippy::cast_precision_loss, reason = "a map has at most 256 cells an edge")]
fn cells(count: usize) -> f32 {
    count as f32
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::engine::parity::{Fixture, MAPS, assert_same_faces};

    fn decoded(fixture: &Fixture) -> Vec<Face> {
        decode(&MAPS.map(|name| fixture.output(name))).unwrap()
    }

    /// Both fixtures were decoded in Python too: real outputs with one face, and made-up
    /// ones with overlaps, faces beyond the edges and one score just too low.
    #[test]
    fn outputs_are_decoded_as_python_does_it() {
        for (name, count) in [("centerface", 1), ("centerface-decode", 6)] {
            let fixture = Fixture::of(name);
            let faces = decoded(&fixture);
            assert_eq!(faces.len(), count, "{name}");
            assert_same_faces(&faces, &fixture.faces(), 1e-3);
        }
    }

    #[test]
    fn outputs_of_another_shape_are_refused() {
        let fixture = Fixture::of("centerface");
        let [heatmap, scale, offset, landmarks] = MAPS.map(|name| fixture.output(name));
        assert!(decode(&[]).unwrap_err().contains("0 outputs"));
        let swapped = [heatmap.clone(), landmarks.clone(), offset.clone(), scale.clone()];
        assert!(decode(&swapped).unwrap_err().contains("[1, 10, 16, 16]"));
        let no_heatmap = [scale.clone(), scale, offset, landmarks];
        assert!(decode(&no_heatmap).unwrap_err().contains("heatmap"));
    }

    #[test]
    fn what_is_not_a_number_is_no_face() {
        let fixture = Fixture::of("centerface-decode");
        let mut outputs = MAPS.map(|name| fixture.output(name));
        outputs[0].iter_mut().for_each(|score| *score = f32::NAN);
        assert_eq!(decode(&outputs).unwrap(), []);
    }

    #[test]
    fn faces_grow_with_the_picture_and_end_at_its_edges() {
        let [face] = decoded(&Fixture::of("centerface"))[..] else { panic!("there is one") };
        let large = face.scaled(10.0, 5.0, (450.0, 900.0)).unwrap();
        assert!((large.left - face.left * 10.0).abs() < 1e-3);
        assert!((large.bottom - face.bottom * 5.0).abs() < 1e-3);
        assert!((large.right - 450.0).abs() < 1e-6);
        assert_eq!(face.scaled(1.0, 1.0, (20.0, 64.0)), None);
    }

    #[test]
    fn large_pictures_are_shrunk_and_small_ones_padded() {
        assert_eq!(shrunk_size(1024, 3), (1024, 3));
        assert_eq!(shrunk_size(4096, 1000), (1024, 250));
        assert_eq!(shrunk_size(1, 5000), (1, 1024));
        let planes = planes(&RgbImage::from_pixel(33, 2, Rgb([7, 8, 9])).into());
        assert_eq!(planes.shape(), [1, 3, 32, 64]);
        let at = |plane, y, x| planes[[0, plane, y, x]];
        assert_eq!((at(0, 0, 0), at(1, 1, 32), at(2, 1, 32)), (7.0, 8.0, 9.0));
        assert_eq!((at(0, 2, 0), at(0, 0, 33)), (0.0, 0.0));
    }
}
