// Loss and gradient of a convolutional network with cross-entropy, for many cells (see optimizees/conv.py).
//
// A few images at a time go forward and back inside the second-level cache: the activations of a minibatch never
// go to memory. Images are summed in pieces of a fixed size and pieces in order, so that a cell has the same bits
// whether one thread took all of it or several shared it.

#pragma once

#include "cpu_conv_plan.h"

namespace rnnprop {

constexpr int64_t PIECE = 32;              // images that are summed on their own
constexpr int64_t BAND_NUMBERS = 4096;     // of a block of channels whose rows stay in the first-level cache
constexpr int64_t CELLS_PER_THREAD = 4;    // with fewer cells than this, threads share cells

struct ConvInputs {
    int64_t cells, seeds, M;
    const float* images;     // [S, M, channels, height, width]
    const int64_t* targets;  // [S, M]
    const float* params;     // [C, P]
    float *losses, *grads;   // [C], [C, P]; null where only the logits are wanted
    float* logits;           // [C, M, O] or null
    int64_t splits;          // tasks of a cell: 1, or one a piece

    int64_t pieces() const { return (M + PIECE - 1) / PIECE; }
};

class ConvWorker {
   public:
    // partial_losses [C, splits], partial_grads [C, splits, P]: what every task gives.
    ConvWorker(const ConvPlan& plan, const ConvInputs& in, double* partial_losses, float* partial_grads)
        : plan_(plan), in_(in), losses_(partial_losses), grads_(partial_grads), scratch_(registers(plan)) {
        scratch_.zero();  // borders stay as they are now
        packed_ = take(plan.packed);
        sums_ = take(plan.sums);
        values_.push_back(take(IMAGE_TILE * plan.image.size()));
        deltas_.push_back(nullptr);
        for (const ConvLayer& l : plan.layers) {
            values_.push_back(take(IMAGE_TILE * l.out.size()));
            deltas_.push_back(take(l.delta.size()));
            flat_.push_back(take(flat_size(plan, l)));
        }
        for (const ConvLayer& l : plan.layers)
            sparse_.capacity = std::max(sparse_.capacity, l.out.width * std::min(l.out.height, band(l)));
        sparse_.entries.resize(CHANNELS * sparse_.capacity);
    }

    void operator()(int64_t task) {
        const int64_t cell = task / in_.splits, split = task % in_.splits, pieces = in_.pieces();
        if (cell != packed_cell_) plan_.pack(in_.params + cell * plan_.P, packed_);
        packed_cell_ = cell;
        const int64_t first = split * pieces / in_.splits, last = (split + 1) * pieces / in_.splits;
        double loss = 0.0;
        for (int64_t piece = first; piece < last; ++piece) {
            const int64_t end = std::min(in_.M, (piece + 1) * PIECE);
            if (in_.grads) std::fill(sums_, sums_ + plan_.sums, 0.0f);
            double piece_loss = 0.0;
            for (int64_t m = piece * PIECE; m < end; m += IMAGE_TILE)
                piece_loss += tile(cell, m, int(std::min<int64_t>(IMAGE_TILE, end - m)));
            loss += piece_loss;
            if (in_.grads)
                for (const ConvLayer& l : plan_.layers) plan_.unpack(l, sums_, grads_ + task * plan_.P, piece > first);
        }
        if (in_.grads) losses_[task] = loss;
    }

   private:
    static int64_t up(int64_t count) { return (count + CHANNELS - 1) / CHANNELS * CHANNELS; }

    static int64_t registers(const ConvPlan& plan) {
        int64_t numbers = up(plan.packed) + up(plan.sums) + up(IMAGE_TILE * plan.image.size());
        for (const ConvLayer& l : plan.layers)
            numbers += up(IMAGE_TILE * l.out.size()) + up(l.delta.size()) + up(flat_size(plan, l));
        return numbers / LANES;
    }

    // Fully connected layers are taken for a few images at a time; convolutions need no more than one gradient.
    static int64_t flat_size(const ConvPlan& plan, const ConvLayer& l) {
        const bool flat = &l - plan.layers.data() + 1 >= int64_t(plan.pictures);
        return flat ? IMAGE_TILE * l.out.size() : 0;
    }

    float* take(int64_t count) { return reinterpret_cast<float*>(scratch_.take(up(count) / LANES)); }

    // Rows at a time, an even number.
    static int64_t band(const ConvLayer& l) { return std::max<int64_t>(2, BAND_NUMBERS / l.out.row() / 2 * 2); }

    // Sum of the losses of n images from number m on, divided by M.
    double tile(int64_t cell, int64_t m, int n) {
        const int64_t seed = cell * in_.seeds / in_.cells, O = plan_.layers.back().O;
        const Grid& image = plan_.image;
        const int64_t pixels = image.blocks * image.height * image.width;
        for (int g = 0; g < n; ++g) {
            const float* from = in_.images + (seed * in_.M + m + g) * pixels;
            for (int64_t b = 0; b < image.blocks; ++b)
                for (int64_t y = 0; y < image.height; ++y, from += image.width)
                    std::copy(from, from + image.width,
                              value(0, g) + b * image.block() + image.origin() + y * image.row());
            for (size_t l = 0; l < plan_.pictures; ++l) forward(l, g);
        }
        for (size_t l = plan_.pictures; l < plan_.layers.size(); ++l) dense(l, n);
        const float* logits = values_.back();
        const int64_t stride = plan_.layers.back().out.size();
        if (in_.logits)
            for (int g = 0; g < n; ++g)
                std::copy(logits + g * stride, logits + g * stride + O, in_.logits + (cell * in_.M + m + g) * O);
        if (!in_.grads) return 0.0;
        double loss = 0.0;
        for (int g = 0; g < n; ++g)
            loss += cross_entropy(logits + g * stride, O, in_.targets[seed * in_.M + m + g], flat_.back() + g * stride);
        for (size_t l = plan_.layers.size(); l-- > plan_.pictures;) dense_back(l, n);
        for (int g = 0; g < n; ++g) {
            const ConvLayer& last = plan_.layers[plan_.pictures - 1];
            copy_pictures(flat_[plan_.pictures - 1] + g * last.out.size(), last.out, deltas_[plan_.pictures], last.delta);
            for (size_t l = plan_.pictures; l-- > 0;) back(l, g);
        }
        return loss / double(in_.M);
    }

    float* value(size_t l, int g) const {  // input of layer l
        return values_[l] + g * (l ? plan_.layers[l - 1].out : plan_.image).size();
    }

    void forward(size_t which, int g) const {
        const ConvLayer& l = plan_.layers[which];
        const float* in = value(which, g);
        float* out = value(which + 1, g);
        if (l.kind == ConvKind::pool) {
            for (int64_t b = 0; b < l.out.blocks; ++b)
                for (int64_t y = 0; y < l.out.height; ++y)
                    for (int64_t x = 0; x < l.out.width; ++x)
                        for (int r = 0; r < CHANNELS; r += LANES) {
                            IntVec won;
                            store(out + pixel(l.out, b, y, x) + r,
                                  winner(in + pixel(l.in, b, 2 * y, 2 * x) + r, l.in.row(), won));
                        }
            return;
        }
        const int64_t size = l.I * TAPS * CHANNELS;
        for (int64_t b = 0; b < l.out.blocks; ++b) {
            const float *weights = packed_ + l.forward + b * size, *bias = packed_ + l.forward + l.out.blocks * size;
            const auto convolution = l.first ? convolve<1, Relu> : convolve<CHANNELS, Relu>;
            convolution(weights, bias + b * CHANNELS, in, l.in, out, l.out, out + b * l.out.block(), l.out);
        }
    }

    void dense(size_t which, int n) const {
        const ConvLayer& l = plan_.layers[which];
        const int64_t F = l.in.size(), size = l.out.size();
        for (int64_t b = 0; b < l.out.blocks; ++b) {
            const float *weights = packed_ + l.forward + b * F * CHANNELS,
                        *bias = packed_ + l.forward + F * size + b * CHANNELS;
            float* out = values_[which + 1] + b * CHANNELS;
            if (n == IMAGE_TILE)
                dense_forward<IMAGE_TILE>(weights, bias, values_[which], F, F, out, size);
            else
                for (int g = 0; g < n; ++g)
                    dense_forward<1>(weights, bias, values_[which] + g * F, F, F, out + g * size, size);
        }
        if (which + 1 == plan_.layers.size()) return;
        for (float* out = values_[which + 1]; out < values_[which + 1] + n * size; out += LANES)
            store(out, Relu{}(load(out), nullptr));
    }

    // Loss of one image; delta = (softmax - onehot) / M.
    double cross_entropy(const float* logits, int64_t O, int64_t target, float* delta) const {
        const float largest = *std::max_element(logits, logits + O);
        float sum = 0.0f;
        for (int64_t o = 0; o < O; ++o) sum += delta[o] = std::exp(logits[o] - largest);
        for (int64_t o = 0; o < O; ++o) delta[o] = (delta[o] / sum - float(o == target)) / float(in_.M);
        return double(largest - logits[target]) + std::log(double(sum));
    }

    void dense_back(size_t which, int n) {
        const ConvLayer& l = plan_.layers[which];
        const int64_t F = l.in.size(), size = l.out.size();
        const float* delta = flat_[which];
        for (int g = 0; g < n; ++g)
            for (int64_t o = 0; o < l.O; ++o) sums_[l.bias_sums + o] += delta[g * size + o];
        for (int64_t b = 0; b < l.out.blocks; ++b) {
            float* sums = sums_ + l.sums + b * F * CHANNELS;
            if (n == IMAGE_TILE)
                dense_gradient<IMAGE_TILE>(values_[which], F, F, delta + b * CHANNELS, size, sums);
            else
                for (int g = 0; g < n; ++g)
                    dense_gradient<1>(values_[which] + g * F, F, F, delta + g * size + b * CHANNELS, size, sums);
        }
        const float* weights = packed_ + l.backward;
        if (n == IMAGE_TILE)
            dense_backward<IMAGE_TILE>(weights, delta, size, l.O, values_[which], F, F, flat_[which - 1], F);
        else
            for (int g = 0; g < n; ++g)
                dense_backward<1>(weights, delta + g * size, size, l.O, values_[which] + g * F, F, F,
                                  flat_[which - 1] + g * F, F);
    }

    static void copy_pictures(const float* from, const Grid& from_grid, float* to, const Grid& to_grid) {
        const int64_t length = from_grid.width * CHANNELS;
        for (int64_t b = 0; b < from_grid.blocks; ++b)
            for (int64_t y = 0; y < from_grid.height; ++y) {
                const float* row = from + b * from_grid.block() + from_grid.origin() + y * from_grid.row();
                std::copy(row, row + length, to + b * to_grid.block() + to_grid.origin() + y * to_grid.row());
            }
    }

    // From the gradient with respect to the output of a layer to its sums and to the gradient of its input.
    void back(size_t which, int g) {
        const ConvLayer& l = plan_.layers[which];
        if (l.kind == ConvKind::pool) {
            if (!plan_.layers[which - 1].sparse()) pool_back(which, g);
        } else if (l.first) {
            first_gradient(l, g);
        } else {
            convolution_back(which, g);
        }
    }

    void pool_back(size_t which, int g) const {
        const ConvLayer &l = plan_.layers[which], &below = plan_.layers[which - 1];
        const float *in = value(which, g), *delta = deltas_[which + 1];
        float* out = deltas_[which];
        for (int64_t b = 0; b < l.out.blocks; ++b)
            for (int64_t y = 0; y < l.out.height; ++y)
                for (int64_t x = 0; x < l.out.width; ++x)
                    for (int r = 0; r < CHANNELS; r += LANES) {
                        IntVec won;
                        const Vec best = winner(in + pixel(l.in, b, 2 * y, 2 * x) + r, l.in.row(), won);
                        const Vec d = best > 0.0f ? load(delta + pixel(l.delta, b, y, x) + r) : Vec{};
                        float* to = out + pixel(below.delta, b, 2 * y, 2 * x) + r;
                        for (int k = 0; k < 4; ++k)
                            store(to + k / 2 * below.delta.row() + k % 2 * CHANNELS, won == k ? d : Vec{});
                    }
    }

    static int64_t pixel(const Grid& grid, int64_t b, int64_t y, int64_t x) {
        return b * grid.block() + grid.origin() + y * grid.row() + x * CHANNELS;
    }

    void first_gradient(const ConvLayer& l, int g) {
        for (int64_t b = 0; b < l.out.blocks; ++b) {
            const float* delta = deltas_[1] + b * l.delta.block();
            for (int64_t plane = 0; plane < l.I; ++plane)
                plane_gradient(delta, l.delta, value(0, g) + plane * l.in.block(), l.in,
                               sums_ + l.sums + (b * l.I + plane) * TAPS * CHANNELS);
            float* bias = sums_ + l.bias_sums + b * CHANNELS;
            for (int r = 0; r < CHANNELS; r += LANES) {
                Vec sum = {};
                for (int64_t y = 0; y < l.out.height; ++y)
                    for (int64_t x = 0; x < l.out.width; ++x) sum += load(delta + pixel(l.delta, 0, y, x) + r);
                store(bias + r, load(bias + r) + sum);
            }
        }
    }

    void convolution_back(size_t which, int g) {
        const ConvLayer &l = plan_.layers[which], &below = plan_.layers[which - 1];
        float* out = deltas_[which];
        if (l.sparse()) std::fill(out, out + below.delta.size(), 0.0f);
        for (int64_t y = 0; y < l.out.height; y += band(l)) {
            const int64_t end = std::min(l.out.height, y + band(l));
            for (int64_t b = 0; b < l.out.blocks; ++b) {
                sparse_.clear();
                if (l.sparse())
                    list_pooled(which, g, b, y / 2, std::min(end / 2, plan_.layers[which + 1].out.height));
                else
                    list_dense(l, deltas_[which + 1], b, y, end);
                for (int c = 0; c < CHANNELS; ++c) through_filters(l, b * CHANNELS + c, c, value(which, g), out);
            }
        }
        if (l.sparse()) {
            mask(value(which, g), l.in, out, below.delta);
            return;
        }
        const int64_t size = l.O * TAPS * CHANNELS;
        for (int64_t b = 0; b < l.in.blocks; ++b)
            convolve<CHANNELS, WherePositive>(packed_ + l.backward + b * size, nullptr, deltas_[which + 1], l.delta,
                                              value(which, g) + b * l.in.block(), l.in, out + b * below.delta.block(),
                                              below.delta);
    }

    void through_filters(const ConvLayer& l, int64_t o, int c, const float* in, float* out) {
        const int64_t count = sparse_.count[c];
        if (!count) return;
        for (int64_t b = 0; b < l.in.blocks; ++b) {
            const int64_t at = (o * l.in.blocks + b) * TAPS * CHANNELS;
            filter_gradient(sparse_.of(c), count, in + b * l.in.block(), l.in.row(), sums_ + l.sums + at,
                            b ? nullptr : sums_ + l.bias_sums + o);
            if (l.sparse())
                scatter(sparse_.of(c), count, packed_ + l.backward + at, l.in.row(), out + b * l.in.block());
        }
    }

    void list_dense(const ConvLayer& l, const float* delta, int64_t b, int64_t first, int64_t last) {
        for (int64_t y = first; y < last; ++y)
            for (int64_t x = 0; x < l.out.width; ++x) {
                float values[CHANNELS];
                int32_t offsets[CHANNELS];
                std::memcpy(values, delta + pixel(l.delta, b, y, x), sizeof values);
                for (int c = 0; c < CHANNELS; ++c) offsets[c] = int32_t(y * l.in.row() + x * CHANNELS);
                sparse_.add(values, offsets);
            }
    }

    // The gradient of a max-pool's input, from rows of its output.
    void list_pooled(size_t which, int g, int64_t b, int64_t first, int64_t last) {
        const ConvLayer &l = plan_.layers[which], &pool = plan_.layers[which + 1];
        const float *in = value(which + 1, g), *delta = deltas_[which + 2];
        const int32_t row = int32_t(l.in.row());
        for (int64_t y = first; y < last; ++y)
            for (int64_t x = 0; x < pool.out.width; ++x) {
                float values[CHANNELS];
                int32_t offsets[CHANNELS];
                for (int r = 0; r < CHANNELS; r += LANES) {
                    IntVec won;
                    const Vec best = winner(in + pixel(pool.in, b, 2 * y, 2 * x) + r, pool.in.row(), won);
                    store(values + r, best > 0.0f ? load(delta + pixel(pool.delta, b, y, x) + r) : Vec{});
                    const IntVec offset = int32_t(2 * y * row + 2 * x * CHANNELS) + (won >> 1) * row + (won & 1) * CHANNELS;
                    std::memcpy(offsets + r, &offset, sizeof offset);
                }
                sparse_.add(values, offsets);
            }
    }

    // What a ReLU lets through, and a border of zeros again.
    static void mask(const float* values, const Grid& grid, float* out, const Grid& out_grid) {
        for (int64_t b = 0; b < grid.blocks; ++b)
            for (int64_t y = -1; y <= grid.height; ++y)
                for (int64_t x = -1; x <= grid.width; ++x)
                    for (int r = 0; r < CHANNELS; r += LANES) {
                        float* to = out + pixel(out_grid, b, y, x) + r;
                        store(to, WherePositive{}(load(to), values + pixel(grid, b, y, x) + r));
                    }
    }

    const ConvPlan& plan_;
    const ConvInputs& in_;
    double* losses_;
    float* grads_;
    Scratch scratch_;
    float *packed_, *sums_;
    int64_t packed_cell_ = -1;
    std::vector<float*> values_;  // [IMAGE_TILE] pictures: the image, then every layer's output
    std::vector<float*> deltas_;  // the gradient of these, one picture
    std::vector<float*> flat_;    // [IMAGE_TILE] the same for what fully connected layers read and write
    Sparse sparse_;
};

}  // namespace rnnprop
