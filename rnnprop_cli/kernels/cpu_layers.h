// Packed weights of the network, and the products of one LSTM layer with one register of coordinates.
//
// Letters: F features, E embedding width, H hidden units, L layers, D inputs of a layer, K = D + H rows of [x, h].
// Gates are kept by unit: row 4u + gate, with gate in torch's order i, f, g, o.

#pragma once

#include <vector>

#include "cpu_simd.h"

namespace rnnprop {

struct Shape {
    int F, E, H, L;
    bool bounded;

    int inputs(int layer) const { return layer ? H : (E ? E : F); }
    int rows(int layer) const { return inputs(layer) + H; }
};

// Offsets into the flat meta-params, in the order of `Network.named_shapes`.
struct LayerOffsets {
    int64_t w_input, w_hidden, bias;
};

struct Offsets {
    int64_t w_embed = 0, b_embed = 0, w_out = 0, b_out = 0, total = 0;
    std::vector<LayerOffsets> layers;

    explicit Offsets(const Shape& shape) {
        int64_t next = 0;
        const int64_t gates = GATES * shape.H;
        if (shape.E) {
            w_embed = next;
            b_embed = w_embed + int64_t(shape.E) * shape.F;
            next = b_embed + shape.E;
        }
        for (int l = 0; l < shape.L; ++l) {
            LayerOffsets layer;
            layer.w_input = next;
            layer.w_hidden = layer.w_input + gates * shape.inputs(l);
            layer.bias = layer.w_hidden + gates * shape.H;
            next = layer.bias + gates;
            layers.push_back(layer);
        }
        w_out = next;
        b_out = w_out + shape.H;
        total = b_out + 1;
    }
};

// Sigmoids are taken as 1 / (1 + 2^s) and tanh as (1 - 2^s) / (1 + 2^s): the factor that turns a gate into s is
// multiplied into the weights once a call.
constexpr float GATE_SCALE[GATES] = {-LOG2_E, -LOG2_E, -2.0f * LOG2_E, -LOG2_E};

struct PackedLayer {
    // Tiles of UNIT_TILE units: bias [4U], then for each of the K rows of [x, h] the weights [4U].
    std::vector<float> forward;
    // Tiles of ROW_TILE rows (padded to a multiple of 4): for each of the 4H gates the weights [R].
    std::vector<float> backward_x, backward_h;
};

struct Packed {
    Shape shape;
    Offsets offsets;
    const float* q;
    std::vector<PackedLayer> layers;

    Packed(const Shape& shape_, const float* q_, bool with_backward) : shape(shape_), offsets(shape_), q(q_) {
        for (int l = 0; l < shape.L; ++l) {
            PackedLayer packed;
            pack_forward(l, packed.forward);
            if (with_backward) {
                // Without an embedding nothing below the first layer wants a gradient.
                if (l || shape.E) pack_backward(q + offsets.layers[l].w_input, shape.inputs(l), packed.backward_x);
                pack_backward(q + offsets.layers[l].w_hidden, shape.H, packed.backward_h);
            }
            layers.push_back(packed);
        }
    }

   private:
    void pack_forward(int l, std::vector<float>& out) const {
        const int D = shape.inputs(l), H = shape.H;
        const LayerOffsets& at = offsets.layers[l];
        for (int first = 0; first < H; first += UNIT_TILE) {
            const int units = first + UNIT_TILE <= H ? UNIT_TILE : H - first;
            for (int k = -1; k < D + H; ++k)
                for (int u = first; u < first + units; ++u)
                    for (int gate = 0; gate < GATES; ++gate) {
                        const int64_t row = int64_t(gate) * H + u;
                        const float weight = k < 0   ? q[at.bias + row]
                                             : k < D ? q[at.w_input + row * D + k]
                                                     : q[at.w_hidden + row * H + k - D];
                        out.push_back(GATE_SCALE[gate] * weight);
                    }
        }
    }

    void pack_backward(const float* weight, int columns, std::vector<float>& out) const {
        const int H = shape.H;
        for (int first = 0; first < columns; first += ROW_TILE)
            for (int u = 0; u < H; ++u)
                for (int gate = 0; gate < GATES; ++gate)
                    for (int r = first; r < first + ROW_TILE && r < (columns + 3) / 4 * 4; ++r)
                        out.push_back(r < columns ? weight[(int64_t(gate) * H + u) * columns + r] : 0.0f);
    }
};

// sums[j] = start[j] + sum_k weights[k][j] * values[k], for a tile of R sums kept in registers.
template <int R>
RNNPROP_INLINE void product_tile(const float* weights, const Vec* values, int K, Vec (&sums)[R]) {
    for (int k = 0; k < K; ++k, weights += R) {
        const Vec value = values[k];
#pragma GCC unroll 24
        for (int j = 0; j < R; ++j) sums[j] += weights[j] * value;
    }
}

// What the backward pass wants to know of one layer at one step: gate activations [4H] and tanh of the cell [H].
struct Kept {
    Vec* gates;
    Vec* tanh_c;
};

template <int U, bool KEEP>
RNNPROP_INLINE void forward_units(const float* weights, const Vec* xh, int K, const Vec* c_old, Vec* c_new, Vec* h_new,
                                  Kept kept) {
    Vec sums[GATES * U];
#pragma GCC unroll 24
    for (int j = 0; j < GATES * U; ++j) sums[j] = broadcast(weights[j]);
    product_tile<GATES * U>(weights + GATES * U, xh, K, sums);
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) {
        const Vec i = reciprocal(1.0f + exp2_clamped(sums[4 * u]));
        const Vec f = reciprocal(1.0f + exp2_clamped(sums[4 * u + 1]));
        const Vec e = exp2_clamped(sums[4 * u + 2]);
        const Vec g = (1.0f - e) * reciprocal(1.0f + e);
        const Vec o = reciprocal(1.0f + exp2_clamped(sums[4 * u + 3]));
        const Vec c = f * c_old[u] + i * g;
        const Vec tanh_c = tanh(c);
        c_new[u] = c;
        h_new[u] = o * tanh_c;
        if (KEEP) {
            kept.gates[4 * u] = i;
            kept.gates[4 * u + 1] = f;
            kept.gates[4 * u + 2] = g;
            kept.gates[4 * u + 3] = o;
            kept.tanh_c[u] = tanh_c;
        }
    }
}

// One layer: (xh [K], c_old [H]) -> (c_new [H], h_new [H]). c_new may be c_old; h_new must not overlap xh.
template <bool KEEP>
void forward_layer(const float* weights, const Vec* xh, int K, int H, const Vec* c_old, Vec* c_new, Vec* h_new,
                   Kept kept) {
    for (int u = 0; u < H; u += UNIT_TILE) {
        const Kept here = KEEP ? Kept{kept.gates + 4 * u, kept.tanh_c + u} : Kept{nullptr, nullptr};
        const int units = u + UNIT_TILE <= H ? UNIT_TILE : H - u;
        switch (units) {
#if RNNPROP_UNIT_TILE > 3
            case 5: forward_units<5, KEEP>(weights, xh, K, c_old + u, c_new + u, h_new + u, here); break;
            case 4: forward_units<4, KEEP>(weights, xh, K, c_old + u, c_new + u, h_new + u, here); break;
#endif
            case 3: forward_units<3, KEEP>(weights, xh, K, c_old + u, c_new + u, h_new + u, here); break;
            case 2: forward_units<2, KEEP>(weights, xh, K, c_old + u, c_new + u, h_new + u, here); break;
            default: forward_units<1, KEEP>(weights, xh, K, c_old + u, c_new + u, h_new + u, here); break;
        }
        weights += GATES * units * (K + 1);
    }
}

template <int R>
RNNPROP_INLINE void backward_rows(const float* weights, const Vec* gate_grads, int n_gates, Vec* out, int rows) {
    Vec sums[R];
#pragma GCC unroll 24
    for (int j = 0; j < R; ++j) sums[j] = Vec{};
    product_tile<R>(weights, gate_grads, n_gates, sums);
#pragma GCC unroll 24
    for (int j = 0; j < R; ++j)
        if (j < rows) out[j] = sums[j];
}

// out[r] = sum over the gates of weight[gate][r] * gate_grads[gate], for `columns` values of r.
inline void backward_product(const float* weights, const Vec* gate_grads, int n_gates, Vec* out, int columns) {
    for (int first = 0; first < columns; first += ROW_TILE) {
        const int rows = first + ROW_TILE <= columns ? ROW_TILE : columns - first;
        const int padded = (rows + 3) / 4 * 4;
        switch (padded) {
#if RNNPROP_ROW_TILE > 12
            case 20: backward_rows<20>(weights, gate_grads, n_gates, out + first, rows); break;
            case 16: backward_rows<16>(weights, gate_grads, n_gates, out + first, rows); break;
#endif
            case 12: backward_rows<12>(weights, gate_grads, n_gates, out + first, rows); break;
            case 8: backward_rows<8>(weights, gate_grads, n_gates, out + first, rows); break;
            default: backward_rows<4>(weights, gate_grads, n_gates, out + first, rows); break;
        }
        weights += padded * n_gates;
    }
}

// Adds sum_t gate_grads[t][4] (x) xh[t][C] to C partial sums, and sum_t gate_grads[t] to the bias's if BIAS.
template <int C, bool BIAS>
RNNPROP_INLINE void weight_tile(const Vec* gate_grads, int gate_stride, const Vec* xh, int xh_stride, int T, Vec* out,
                                Vec* bias) {
    Vec sums[GATES][C], bias_sums[GATES];
#pragma GCC unroll 4
    for (int g = 0; g < GATES; ++g) {
        bias_sums[g] = Vec{};
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) sums[g][j] = Vec{};
    }
    for (int t = 0; t < T; ++t, gate_grads += gate_stride, xh += xh_stride) {
        const Vec d0 = gate_grads[0], d1 = gate_grads[1], d2 = gate_grads[2], d3 = gate_grads[3];
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) {
            const Vec x = xh[j];
            sums[0][j] += d0 * x;
            sums[1][j] += d1 * x;
            sums[2][j] += d2 * x;
            sums[3][j] += d3 * x;
        }
        if (BIAS) {
            bias_sums[0] += d0;
            bias_sums[1] += d1;
            bias_sums[2] += d2;
            bias_sums[3] += d3;
        }
    }
#pragma GCC unroll 8
    for (int j = 0; j < C; ++j) out[j] += partial_sums(sums[0][j], sums[1][j], sums[2][j], sums[3][j]);
    if (BIAS) *bias += partial_sums(bias_sums[0], bias_sums[1], bias_sums[2], bias_sums[3]);
}

// Adds the gradient of one layer's weights over T steps to partial_sums [H][K + 1] (the last column is the bias's).
// A few units' gate gradients stay in the first-level cache while the columns of xh pass by.
inline void weight_gradient(const Vec* gate_grads, const Vec* xh, int T, int H, int K, Vec* partial) {
    constexpr int UNITS_IN_CACHE = 5;
    const int gate_stride = GATES * H, xh_stride = K;
    for (int first = 0; first < H; first += UNITS_IN_CACHE) {
        const int last = first + UNITS_IN_CACHE < H ? first + UNITS_IN_CACHE : H;
        for (int k = 0; k < K; k += COL_TILE)
            for (int u = first; u < last; ++u) {
                const Vec* grads = gate_grads + GATES * u;
                Vec* row = partial + int64_t(u) * (K + 1);
                if (k == 0 && COL_TILE <= K) {
                    weight_tile<COL_TILE, true>(grads, gate_stride, xh, xh_stride, T, row, row + K);
                } else if (k + COL_TILE <= K) {
                    weight_tile<COL_TILE, false>(grads, gate_stride, xh + k, xh_stride, T, row + k, nullptr);
                } else {
                    for (int j = k; j < K; ++j) {
                        if (j == 0)
                            weight_tile<1, true>(grads, gate_stride, xh, xh_stride, T, row, row + K);
                        else
                            weight_tile<1, false>(grads, gate_stride, xh + j, xh_stride, T, row + j, nullptr);
                    }
                }
            }
    }
}

// x [E] = elu(W features + b), or a copy of the features where there is no embedding.
inline void embed(const Packed& packed, const Vec* features, Vec* x) {
    const Shape& s = packed.shape;
    if (!s.E) {
        for (int f = 0; f < s.F; ++f) x[f] = features[f];
        return;
    }
    const float *weight = packed.q + packed.offsets.w_embed, *bias = packed.q + packed.offsets.b_embed;
    for (int e = 0; e < s.E; ++e) {
        Vec z = broadcast(bias[e]);
        for (int f = 0; f < s.F; ++f) z += weight[e * s.F + f] * features[f];
        x[e] = elu(z);
    }
}

inline Vec network_output(const Packed& packed, const Vec* h) {
    const float* weight = packed.q + packed.offsets.w_out;
    Vec even = broadcast(packed.q[packed.offsets.b_out]), odd = {};  // two chains: the sum waits for itself
    int u = 0;
    for (; u + 1 < packed.shape.H; u += 2) {
        even += weight[u] * h[u];
        odd += weight[u + 1] * h[u + 1];
    }
    if (u < packed.shape.H) even += weight[u] * h[u];
    return packed.shape.bounded ? tanh(even + odd) : even + odd;
}

}  // namespace rnnprop
