//! 3x3 convolutions by the minimal filtering algorithm of Winograd, F(4x4, 3x3).
//!
//! A square of 4x4 results takes 36 multiplications for each pair of channels instead of
//! 144: squares of 6x6 inputs are transformed, multiplied by transformed weights, as 36
//! products of matrices, and transformed back. Method and matrices: A. Lavin, S. Gray,
//! "Fast Algorithms for Convolutional Neural Networks" (2015),
//! <https://arxiv.org/abs/1509.09308>, section 4.3. The results differ from a plain
//! convolution's by rounding in the sixth digit.
//!
//! Channels of a pixel lie side by side, so that the transforms run in SIMD lanes over
//! channels. Padding, and what convolutions are good for, are the business of the
//! networks that use them.

#![expect(
    clippy::inline_always,
    reason = "only what is inlined into `eval` is compiled for the processor's widest lanes"
)]

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::{Isa, SimdOp};
use rten_tensor::{NdTensorView, prelude::*};

/// Channels that are computed at once; channel counts are multiples of it.
pub(super) const LANES: usize = 16;

/// Edge of a square of inputs and of results.
const FROM: usize = 6;
const TO: usize = 4;
/// Products of matrices, one for each place in a transformed square.
const PLACES: usize = FROM * FROM;

/// Squares computed at once: enough rows for the matrix product, few enough for the cache.
/// Measured: 64 and 128 take 5 %, 256 takes 10 % longer.
const SQUARES: usize = 32;

/// One value of each of [`LANES`] channels.
type Lanes = [f32; LANES];

/// Feature maps: the channels of a pixel side by side, pixels row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Maps {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    /// At least `width * height * channels` values; those after that are left over.
    pub(super) values: Vec<f32>,
}

impl Maps {
    /// Makes the maps this large; what they hold is arbitrary.
    pub(super) fn reshape(&mut self, width: usize, height: usize, channels: usize) {
        (self.width, self.height, self.channels) = (width, height, channels);
        grow(&mut self.values, width * height * channels);
    }

    /// Returns the channels of one pixel.
    #[inline(always)]
    pub(super) fn pixel(&self, column: usize, row: usize) -> &[f32] {
        &self.values[(row * self.width + column) * self.channels..][..self.channels]
    }
}

/// Makes `values` this long unless it is longer: clearing it each time would take 7 % of
/// the whole.
fn grow(values: &mut Vec<f32>, length: usize) {
    if values.len() < length {
        values.resize(length, 0.0);
    }
}

/// A 3x3 convolution without padding, with a leaky rectifier behind it.
pub(super) struct Convolution {
    inputs: usize,
    outputs: usize,
    /// Transformed weights, inputs by outputs, for each place.
    weights: Vec<PackedBMatrix<f32>>,
    bias: Vec<f32>,
    /// What the rectifier multiplies negative values by.
    slope: f32,
}

/// Memory that is used again from one convolution to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Transformed inputs: for each place, squares by inputs.
    before: Vec<f32>,
    /// Products: for each place, squares by outputs.
    after: Vec<f32>,
}

impl Convolution {
    /// Transforms the weights, of shape `[outputs, inputs, 3, 3]`. `None` when a number
    /// of channels is not a multiple of [`LANES`] or the bias has another length.
    pub(super) fn new(weights: NdTensorView<f32, 4>, bias: Vec<f32>, slope: f32) -> Option<Self> {
        let [outputs, inputs, 3, 3] = weights.shape() else { return None };
        if outputs % LANES != 0 || inputs % LANES != 0 || bias.len() != outputs {
            return None;
        }
        let gemm = GemmExecutor::<f32>::default();
        let mut places = vec![vec![0.0; inputs * outputs]; PLACES];
        for output in 0..outputs {
            for input in 0..inputs {
                let kernel = std::array::from_fn(|row| {
                    std::array::from_fn(|column| weights[[output, input, row, column]])
                });
                for (place, value) in places.iter_mut().zip(transform_kernel(&kernel)) {
                    place[input * outputs + output] = value;
                }
            }
        }
        let pack = |place: &Vec<f32>| {
            gemm.prepack_b(NdTensorView::from_data([inputs, outputs], &place[..]))
        };
        Some(Self { inputs, outputs, weights: places.iter().map(pack).collect(), bias, slope })
    }

    /// Fills `result` with the convolution of `source`, smaller by 2 in each direction.
    /// `None` when `source` has other channels or is smaller than 3x3.
    pub(super) fn run(
        &self,
        source: &Maps,
        result: &mut Maps,
        scratch: &mut Scratch,
    ) -> Option<()> {
        if source.channels != self.inputs || source.width < 3 || source.height < 3 {
            return None;
        }
        result.reshape(source.width - 2, source.height - 2, self.outputs);
        grow(&mut scratch.before, PLACES * SQUARES * self.inputs);
        grow(&mut scratch.after, PLACES * SQUARES * self.outputs);
        let across = result.width.div_ceil(TO);
        let squares = across * result.height.div_ceil(TO);
        for first in (0..squares).step_by(SQUARES) {
            let count = SQUARES.min(squares - first);
            let part = Part { across, first, count };
            Before { source, part, to: &mut scratch.before }.dispatch();
            self.multiply(count, scratch)?;
            After { convolution: self, part, from: &scratch.after, result }.dispatch();
        }
        Some(())
    }

    /// Multiplies the transformed squares by the transformed weights, place by place.
    fn multiply(&self, squares: usize, scratch: &mut Scratch) -> Option<()> {
        let gemm = GemmExecutor::<f32>::default();
        let before = scratch.before.chunks_exact(SQUARES * self.inputs);
        let after = scratch.after.chunks_exact_mut(SQUARES * self.outputs);
        for ((from, to), weights) in before.zip(after).zip(&self.weights) {
            let from =
                NdTensorView::from_data([squares, self.inputs], &from[..squares * self.inputs]);
            gemm.gemm(
                &mut to[..squares * self.outputs],
                GemmInputA::Unpacked(from),
                GemmInputB::Packed(weights),
                GemmOptions::default(),
            )
            .ok()?;
        }
        Some(())
    }
}

/// Which squares are computed at once, counted row by row.
#[derive(Clone, Copy)]
struct Part {
    /// Squares in a row.
    across: usize,
    first: usize,
    count: usize,
}

impl Part {
    /// Returns column and row, in pixels, of a square's first pixel.
    #[inline(always)]
    fn corner(self, square: usize) -> (usize, usize) {
        let square = self.first + square;
        (square % self.across * TO, square / self.across * TO)
    }
}

/// Transforms squares of inputs.
struct Before<'a> {
    source: &'a Maps,
    part: Part,
    to: &'a mut [f32],
}

impl SimdOp for Before<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { source, part, to } = self;
        let channels = source.channels;
        for square in 0..part.count {
            let (left, top) = part.corner(square);
            for channel in (0..channels).step_by(LANES) {
                let mut columns = [[[0.0; LANES]; FROM]; FROM];
                for (column, transformed) in columns.iter_mut().enumerate() {
                    let mut inputs = [[0.0; LANES]; FROM];
                    // Beyond the edges is nothing, and of nothing no result is kept.
                    if left + column < source.width {
                        for (row, lanes) in inputs.iter_mut().enumerate() {
                            if top + row < source.height {
                                let pixel = source.pixel(left + column, top + row);
                                lanes.copy_from_slice(&pixel[channel..channel + LANES]);
                            }
                        }
                    }
                    *transformed = transform_inputs(&inputs);
                }
                for (row, line) in transposed(&columns).iter().enumerate() {
                    for (column, lanes) in transform_inputs(line).iter().enumerate() {
                        let place = row * FROM + column;
                        let at = (place * SQUARES + square) * channels + channel;
                        to[at..at + LANES].copy_from_slice(lanes);
                    }
                }
            }
        }
    }
}

/// Transforms products back, adds the bias and rectifies.
struct After<'a> {
    convolution: &'a Convolution,
    part: Part,
    from: &'a [f32],
    result: &'a mut Maps,
}

impl SimdOp for After<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) {
        let Self { convolution, part, from, result } = self;
        let channels = convolution.outputs;
        for square in 0..part.count {
            let (left, top) = part.corner(square);
            let (width, height) = (TO.min(result.width - left), TO.min(result.height - top));
            for channel in (0..channels).step_by(LANES) {
                let mut columns = [[[0.0; LANES]; TO]; FROM];
                for (column, transformed) in columns.iter_mut().enumerate() {
                    let mut products = [[0.0; LANES]; FROM];
                    for (row, lanes) in products.iter_mut().enumerate() {
                        let place = row * FROM + column;
                        let at = (place * SQUARES + square) * channels + channel;
                        lanes.copy_from_slice(&from[at..at + LANES]);
                    }
                    *transformed = transform_products(&products);
                }
                let bias: &[f32] = &convolution.bias[channel..channel + LANES];
                for (row, line) in transposed(&columns).iter().enumerate().take(height) {
                    let at = ((top + row) * result.width + left) * channels;
                    let pixels =
                        result.values[at..at + width * channels].chunks_exact_mut(channels);
                    for (pixel, lanes) in pixels.zip(transform_products(line)) {
                        let to = &mut pixel[channel..channel + LANES];
                        for lane in 0..LANES {
                            to[lane] = rectify(lanes[lane] + bias[lane], convolution.slope);
                        }
                    }
                }
            }
        }
    }
}

/// Returns the rows of what is stored in columns.
#[inline(always)]
fn transposed<const ROWS: usize>(columns: &[[Lanes; ROWS]; FROM]) -> [[Lanes; FROM]; ROWS] {
    std::array::from_fn(|row| std::array::from_fn(|column| columns[column][row]))
}

/// Leaky rectifier: negative values are multiplied by `slope`.
#[inline(always)]
pub(super) fn rectify(value: f32, slope: f32) -> f32 {
    if value < 0.0 { value * slope } else { value }
}

/// Multiplies by the transposed matrix B of the paper, six inputs at once.
#[inline(always)]
fn transform_inputs(d: &[Lanes; FROM]) -> [Lanes; FROM] {
    let mut to = [[0.0; LANES]; FROM];
    for i in 0..LANES {
        let d = [d[0][i], d[1][i], d[2][i], d[3][i], d[4][i], d[5][i]];
        let (even, odd) = (d[4] - 4.0 * d[2], d[3] - 4.0 * d[1]);
        let (near, far) = (d[4] - d[2], 2.0 * (d[3] - d[1]));
        to[0][i] = 4.0 * (d[0] - d[2]) + near;
        to[1][i] = even + odd;
        to[2][i] = even - odd;
        to[3][i] = near + far;
        to[4][i] = near - far;
        to[5][i] = 4.0 * d[1] - 5.0 * d[3] + d[5];
    }
    to
}

/// Multiplies by the transposed matrix A of the paper, six products at once.
#[inline(always)]
fn transform_products(m: &[Lanes; FROM]) -> [Lanes; TO] {
    let mut to = [[0.0; LANES]; TO];
    for i in 0..LANES {
        let (sum, difference) = (m[1][i] + m[2][i], m[1][i] - m[2][i]);
        let (sum_2, difference_2) = (m[3][i] + m[4][i], m[3][i] - m[4][i]);
        to[0][i] = m[0][i] + sum + sum_2;
        to[1][i] = difference + 2.0 * difference_2;
        to[2][i] = sum + 4.0 * sum_2;
        to[3][i] = difference + 8.0 * difference_2 + m[5][i];
    }
    to
}

/// Returns G, the kernel, G transposed of the paper: 6x6 values, row by row.
#[expect(clippy::cast_possible_truncation, reason = "rounds once, from twice the precision")]
fn transform_kernel(kernel: &[[f32; 3]; 3]) -> [f32; PLACES] {
    let g = [
        [1.0 / 4.0, 0.0, 0.0],
        [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
        [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
        [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
        [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
        [0.0, 0.0, 1.0],
    ];
    std::array::from_fn(|place| {
        let (row, column) = (g[place / FROM], g[place % FROM]);
        let mut sum = 0.0_f64;
        for i in 0..3 {
            for j in 0..3 {
                sum += row[i] * f64::from(kernel[i][j]) * column[j];
            }
        }
        sum as f32
    })
}

#[cfg(test)]
mod tests {
    use rten_tensor::NdTensor;

    use super::*;

    /// Numbers between -1 and 1 without a pattern.
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + seed) * 104_729 % 2003) as f32 / 1001.0 - 1.0).collect()
    }

    /// The definition of a convolution, in twice the precision.
    fn plainly(
        source: &Maps,
        weights: &NdTensor<f32, 4>,
        output: usize,
        x: usize,
        y: usize,
    ) -> f64 {
        let mut sum = 0.0;
        for row in 0..3 {
            for column in 0..3 {
                for (input, value) in source.pixel(x + column, y + row).iter().enumerate() {
                    sum += f64::from(*value) * f64::from(weights[[output, input, row, column]]);
                }
            }
        }
        sum
    }

    #[test]
    fn it_is_a_convolution_at_any_size() {
        let (inputs, outputs) = (16, 32);
        let weights =
            NdTensor::from_data([outputs, inputs, 3, 3], numbers(outputs * inputs * 9, 1));
        let bias = numbers(outputs, 2);
        let convolution = Convolution::new(weights.view(), bias.clone(), 0.5).unwrap();
        let (mut result, mut scratch) = (Maps::default(), Scratch::default());
        for (width, height) in [(3, 3), (30, 27), (6, 6), (9, 4), (3, 12)] {
            let values = numbers(width * height * inputs, 3);
            let source = Maps { width, height, channels: inputs, values };
            convolution.run(&source, &mut result, &mut scratch).unwrap();
            assert_eq!((result.width, result.height, result.channels), (width - 2, height - 2, 32));
            for y in 0..height - 2 {
                for x in 0..width - 2 {
                    for (output, value) in result.pixel(x, y).iter().enumerate() {
                        let sum =
                            plainly(&source, &weights, output, x, y) + f64::from(bias[output]);
                        let wanted = if sum < 0.0 { sum * 0.5 } else { sum };
                        assert!((f64::from(*value) - wanted).abs() < 1e-4, "{x} {y} {output}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let weights = NdTensor::from_data([16, 16, 3, 3], vec![0.0; 16 * 16 * 9]);
        assert!(Convolution::new(weights.view(), vec![0.0; 15], 0.1).is_none());
        let odd = NdTensor::from_data([16, 3, 3, 3], vec![0.0; 16 * 3 * 9]);
        assert!(Convolution::new(odd.view(), vec![0.0; 16], 0.1).is_none());
        let convolution = Convolution::new(weights.view(), vec![0.0; 16], 0.1).unwrap();
        let (mut result, mut scratch) = (Maps::default(), Scratch::default());
        let small = Maps { width: 2, height: 9, channels: 16, values: vec![0.0; 18 * 16] };
        assert!(convolution.run(&small, &mut result, &mut scratch).is_none());
    }
}
