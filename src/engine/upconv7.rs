//! The network `upconv_7` of waifu2x, computed with [`winograd`](super::winograd).
//!
//! Six 3x3 convolutions without padding, each with a leaky rectifier, and one transposed
//! convolution of 4x4 with stride 2. Five of the six go by Winograd's algorithm; the first,
//! with three channels, is computed plainly, and the last is a product of matrices whose
//! results are added up where they overlap.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into `eval` is compiled for the processor's widest lanes"
)]

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::{Isa, SimdOp};
use rten_tensor::{NdTensor, NdTensorView, prelude::*};

use super::{
    tiles::Planes,
    winograd::{Convolution, LANES, Maps, Scratch, rectify},
};

/// What the rectifiers multiply negative values by.
const SLOPE: f32 = 0.1;
/// Pixels by which the result, before it is enlarged, is smaller on each side.
pub(super) const MARGIN: usize = 7;
/// Colours.
const COLOURS: usize = 3;
/// Edge and square of the last kernel, its stride, and what it leaves out at the edges.
const EDGE: usize = 4;
const TAPS: usize = EDGE * EDGE * COLOURS;
const STRIDE: usize = 2;
const LEFT_OUT: usize = 3;
/// Rows of the last layer's input that are multiplied at once.
const ROWS: usize = 8;

/// The network, its weights made ready.
pub(super) struct Upconv7 {
    first: First,
    middle: Vec<Convolution>,
    last: Last,
}

/// Memory that is used again from tile to tile.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    maps: [Maps; 2],
    scratch: Scratch,
    taps: Vec<f32>,
}

/// Weights and bias of one layer, as the file has them.
pub(super) type Layer = (NdTensor<f32, 4>, Vec<f32>);

impl Upconv7 {
    /// Makes the weights of the seven layers ready; `None` when they are not those of
    /// this network.
    pub(super) fn new(layers: &[Layer]) -> Option<Self> {
        let [first, middle @ .., last] = layers else { return None };
        let middle: Option<Vec<Convolution>> = middle
            .iter()
            .map(|(weights, bias)| Convolution::new(weights.view(), bias.clone(), SLOPE))
            .collect();
        Some(Self { first: First::new(first)?, middle: middle?, last: Last::new(last)? })
    }

    /// Returns the picture twice as large, without its margin of [`MARGIN`] pixels. `None`
    /// when it has nothing but margin.
    pub(super) fn run(&self, picture: &Planes, buffers: &mut Buffers) -> Option<Planes> {
        if picture.width <= 2 * MARGIN || picture.height <= 2 * MARGIN {
            return None;
        }
        let Buffers { maps: [front, back], scratch, taps } = buffers;
        FirstRun { layer: &self.first, picture, result: front }.dispatch();
        let (mut from, mut to) = (front, back);
        for layer in &self.middle {
            layer.run(from, to, scratch)?;
            (from, to) = (to, from);
        }
        self.last.run(from, taps)
    }
}

/// The first layer: 3x3, from three planes to feature maps.
struct First {
    outputs: usize,
    /// Outputs side by side, for each row, column and plane of the kernel.
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl First {
    fn new((weights, bias): &Layer) -> Option<Self> {
        let [outputs, COLOURS, 3, 3] = weights.shape() else { return None };
        if outputs % LANES != 0 || bias.len() != outputs {
            return None;
        }
        let side_by_side = weights.permuted([2, 3, 1, 0]).to_vec();
        Some(Self { outputs, weights: side_by_side, bias: bias.clone() })
    }
}

struct FirstRun<'a> {
    layer: &'a First,
    picture: &'a Planes,
    result: &'a mut Maps,
}

impl SimdOp for FirstRun<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { layer, picture, result } = self;
        result.reshape(picture.width - 2, picture.height - 2, layer.outputs);
        let width = result.width;
        let pixels = result.values.chunks_exact_mut(layer.outputs).take(width * result.height);
        for (at, pixel) in pixels.enumerate() {
            let (column, row) = (at % width, at / width);
            for (channel, lanes) in pixel.chunks_exact_mut(LANES).enumerate() {
                let mut sums = [0.0; LANES];
                sums.copy_from_slice(&layer.bias[channel * LANES..][..LANES]);
                for down in 0..3 {
                    for right in 0..3 {
                        for plane in 0..COLOURS {
                            let from = (plane * picture.height + row + down) * picture.width;
                            let sample = picture.samples[from + column + right];
                            let weights = ((down * 3 + right) * COLOURS + plane) * layer.outputs;
                            let weights = &layer.weights[weights + channel * LANES..][..LANES];
                            for lane in 0..LANES {
                                sums[lane] += sample * weights[lane];
                            }
                        }
                    }
                }
                for lane in 0..LANES {
                    lanes[lane] = rectify(sums[lane], SLOPE);
                }
            }
        }
    }
}

/// The last layer: 4x4, transposed, stride 2, from feature maps to three planes.
struct Last {
    inputs: usize,
    /// Inputs by taps; a tap is a row, a column and a plane of the kernel.
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
}

impl Last {
    fn new((weights, bias): &Layer) -> Option<Self> {
        let [inputs, COLOURS, EDGE, EDGE] = weights.shape() else { return None };
        if bias.len() != COLOURS {
            return None;
        }
        let gemm = GemmExecutor::<f32>::default();
        let taps = weights.permuted([0, 2, 3, 1]).to_vec();
        let weights = gemm.prepack_b(NdTensorView::from_data([inputs, TAPS], &taps[..]));
        Some(Self { inputs, weights, bias: bias.clone() })
    }

    fn run(&self, source: &Maps, taps: &mut Vec<f32>) -> Option<Planes> {
        let (width, height) =
            (source.width * STRIDE - LEFT_OUT - 1, source.height * STRIDE - LEFT_OUT - 1);
        let mut result = Planes { width, height, samples: Vec::new() };
        for bias in &self.bias {
            result.samples.resize(result.samples.len() + width * height, *bias);
        }
        let gemm = GemmExecutor::<f32>::default();
        let values = &source.values[..source.width * source.height * self.inputs];
        let rows = values.chunks(ROWS * source.width * self.inputs);
        for (index, rows) in rows.enumerate() {
            let pixels = rows.len() / self.inputs;
            taps.resize(pixels * TAPS, 0.0);
            let from = NdTensorView::from_data([pixels, self.inputs], rows);
            let (a, b) = (GemmInputA::Unpacked(from), GemmInputB::Packed(&self.weights));
            gemm.gemm(taps, a, b, GemmOptions::default()).ok()?;
            let top = index * ROWS;
            AddUp { taps, width: source.width, top, result: &mut result }.dispatch();
        }
        Some(result)
    }
}

/// Adds what each pixel of the last layer's input gives to 4x4 pixels of the result.
struct AddUp<'a> {
    taps: &'a [f32],
    /// Width of the input, and the row at which `taps` begins.
    width: usize,
    top: usize,
    result: &'a mut Planes,
}

impl SimdOp for AddUp<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { taps, width, top, result } = self;
        for (at, taps) in taps.chunks_exact(TAPS).enumerate() {
            let (left, top) = (at % width * STRIDE, (top + at / width) * STRIDE);
            for (tap, colours) in taps.chunks_exact(COLOURS).enumerate() {
                // Subtraction wraps where the tap falls off the left or upper edge.
                let column = (left + tap % EDGE).wrapping_sub(LEFT_OUT);
                let row = (top + tap / EDGE).wrapping_sub(LEFT_OUT);
                if column < result.width && row < result.height {
                    let at = row * result.width + column;
                    for (plane, value) in colours.iter().enumerate() {
                        result.samples[plane * result.width * result.height + at] += value;
                    }
                }
            }
        }
    }
}
