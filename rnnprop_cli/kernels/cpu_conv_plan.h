// Shapes of a convolutional network, and where its weights lie while a cell is worked on (see optimizees/conv.py).
//
// Letters: I inputs and O outputs of a layer (channels or features), F inputs of a fully connected layer, padded.

#pragma once

#include "cpu_conv_tiles.h"
#include "cpu_names.h"

namespace rnnprop {

enum class ConvKind : int32_t { convolution, pool, dense };

constexpr Name<ConvKind> CONV_KINDS[] = {
    {"c", ConvKind::convolution},
    {"p", ConvKind::pool},
    {"f", ConvKind::dense},
};

struct ConvLayer {
    ConvKind kind;
    Grid in, out;         // of values; a vector of features is a picture of one pixel
    Grid delta;           // of the gradient with respect to `out`
    int64_t I, O;         // inputs, outputs
    bool first, pooled;   // reads the image; is read by a max-pool
    int64_t params;       // where weights, then biases, start in the flat vector
    int64_t forward, backward, sums, bias_sums;  // where they start in `packed` and in the sums of the gradient

    int64_t fan_in() const { return kind == ConvKind::dense ? I : I * TAPS; }
    // Whether its gradient flows back along a list of what is not zero.
    bool sparse() const { return kind == ConvKind::convolution && pooled && !first; }
};

struct ConvPlan {
    std::vector<ConvLayer> layers;
    Grid image;
    size_t pictures = 0;  // layers in front of the first fully connected one
    int64_t P = 0, packed = 0, sums = 0;

    // `kinds` and `widths` (channels or features) of every layer; the picture is [channels][height][width].
    ConvPlan(int32_t count, const int32_t* kinds, const int64_t* widths, const int64_t* picture) {
        auto kind = [&](int l) { return l < count ? ConvKind(kinds[l]) : ConvKind::dense; };
        image = {picture[0], picture[1], picture[2], 1, 1};
        Grid at = image;
        int64_t features = picture[0];
        for (int l = 0; l < count; ++l) {
            ConvLayer layer{};
            layer.kind = kind(l);
            layer.in = at;
            layer.first = l == 0;
            layer.pooled = kind(l + 1) == ConvKind::pool;
            const int64_t border = kind(l + 1) == ConvKind::convolution;
            const int64_t shrink = layer.kind == ConvKind::pool ? 2 : 1;
            if (layer.kind == ConvKind::dense && l && kind(l - 1) != ConvKind::dense)
                features *= at.height * at.width;
            layer.I = features;
            layer.O = layer.kind == ConvKind::pool ? features : widths[l];
            const int64_t blocks = (layer.O + CHANNELS - 1) / CHANNELS;
            layer.out = layer.kind == ConvKind::dense
                            ? Grid{blocks, 1, 1, 0, CHANNELS}
                            : Grid{blocks, at.height / shrink, at.width / shrink, border, CHANNELS};
            layer.delta = layer.out;
            if (layer.kind == ConvKind::convolution && l) layer.delta.border = 1;
            place(layer);
            if (layer.kind != ConvKind::dense) ++pictures;
            at = layer.out;
            features = layer.O;
            layers.push_back(layer);
        }
    }

    // The gradient [O]... of one layer's sums as it lies in the flat vector: put there, or added to it.
    void unpack(const ConvLayer& l, const float* all_sums, float* grads, bool add) const {
        if (l.kind == ConvKind::pool) return;
        const float *sums = all_sums + l.sums, *bias = all_sums + l.bias_sums;
        auto put = [&](int64_t at, float value) {
            float& to = grads[l.params + at];
            to = add ? to + value : value;
        };
        for (int64_t o = 0; o < l.O; ++o) put(l.fan_in() * l.O + o, bias[o]);
        if (l.kind == ConvKind::dense) {
            for (int64_t f = 0; f < l.in.size(); ++f)
                for (int64_t o = 0; o < l.O; ++o)
                    put(row(l, f) * l.O + o, sums[(o / CHANNELS * l.in.size() + f) * CHANNELS + o % CHANNELS]);
        } else if (l.first) {
            for (int64_t o = 0; o < l.O; ++o)
                for (int64_t k = 0; k < l.I * TAPS; ++k)
                    put(o * l.I * TAPS + k, sums[(o / CHANNELS * l.I * TAPS + k) * CHANNELS + o % CHANNELS]);
        } else {
            for (int64_t o = 0; o < l.O; ++o)
                for (int64_t i = 0; i < l.I; ++i)
                    for (int k = 0; k < TAPS; ++k)
                        put((o * l.I + i) * TAPS + k,
                            sums[((o * l.in.blocks + i / CHANNELS) * TAPS + k) * CHANNELS + i % CHANNELS]);
        }
    }

    // All weights of a cell in the orders in which the tiles read them.
    void pack(const float* params, float* to) const {
        for (const ConvLayer& l : layers)
            if (l.kind == ConvKind::convolution)
                pack_convolution(l, params + l.params, to);
            else if (l.kind == ConvKind::dense)
                pack_dense(l, params + l.params, to);
    }

   private:
    void place(ConvLayer& l) {
        l.params = P;
        if (l.kind == ConvKind::pool) return;
        P += (l.fan_in() + 1) * l.O;
        const int64_t wide = l.out.blocks * CHANNELS;
        const int64_t inputs = l.kind == ConvKind::dense ? l.in.size() : l.I * TAPS;
        l.forward = packed;
        l.backward = l.forward + (inputs + 1) * wide;  // behind the weights, the biases
        packed = l.backward + (l.first ? 0 : inputs * wide);
        l.sums = sums;
        l.bias_sums = l.sums + inputs * wide;
        sums = l.bias_sums + wide;
    }

    // Number of the f-th value of a layer's input, as the flat vector counts: channel by channel.
    static int64_t row(const ConvLayer& l, int64_t f) {
        const int64_t pixels = l.in.height * l.in.width, pixel = f / CHANNELS;
        return (pixel / pixels * CHANNELS + f % CHANNELS) * pixels + pixel % pixels;
    }

    void pack_convolution(const ConvLayer& l, const float* from, float* packed_weights) const {
        const int64_t step = l.in.step;
        float *forward = packed_weights + l.forward, *backward = packed_weights + l.backward;
        for (int64_t block = 0; block < l.O; block += CHANNELS)
            for (int64_t i0 = 0; i0 < l.I; i0 += step)
                for (int k = 0; k < TAPS; ++k)
                    for (int64_t i = i0; i < i0 + step; ++i)
                        for (int64_t o = block; o < block + CHANNELS; ++o)
                            *forward++ = from[(o * l.I + i) * TAPS + k];
        std::copy(from + l.I * TAPS * l.O, from + (l.I * TAPS + 1) * l.O, forward);
        if (l.first) return;
        if (l.sparse()) {  // [O][blocks][9][16]
            for (int64_t o = 0; o < l.O; ++o)
                for (int64_t i0 = 0; i0 < l.I; i0 += CHANNELS)
                    for (int k = 0; k < TAPS; ++k)
                        for (int64_t i = i0; i < i0 + CHANNELS; ++i) *backward++ = from[(o * l.I + i) * TAPS + k];
            return;
        }
        for (int64_t i0 = 0; i0 < l.I; i0 += CHANNELS)  // a convolution with the filter turned round
            for (int64_t block = 0; block < l.O; block += CHANNELS)
                for (int k = TAPS - 1; k >= 0; --k)
                    for (int64_t o = block; o < block + CHANNELS; ++o)
                        for (int64_t i = i0; i < i0 + CHANNELS; ++i) *backward++ = from[(o * l.I + i) * TAPS + k];
    }

    void pack_dense(const ConvLayer& l, const float* from, float* packed_weights) const {
        const int64_t F = l.in.size();
        float *forward = packed_weights + l.forward, *backward = packed_weights + l.backward;
        std::fill(forward, forward + (F + 1) * l.out.blocks * CHANNELS, 0.0f);
        for (int64_t f = 0; f < F; ++f) {
            const float* weights = from + row(l, f) * l.O;
            for (int64_t o = 0; o < l.O; ++o) {
                forward[(o / CHANNELS * F + f) * CHANNELS + o % CHANNELS] = weights[o];
                backward[o * F + f] = weights[o];
            }
        }
        std::copy(from + l.I * l.O, from + (l.I + 1) * l.O, forward + F * l.out.blocks * CHANNELS);
    }
};

}  // namespace rnnprop
