// Packed weights of the network, and the products of one LSTM layer with one block of coordinates.
//
// Letters: F features, E embedding width, H hidden units, L layers, D inputs of a layer, K = D + H rows of [x, h].
// Gates are kept by unit: row 4u + gate, with gate in torch's order i, f, g, o.

#pragma once

#include <vector>

#include "cpu_simd.h"

namespace rnnprop {

constexpr int GATES = 4;

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

// A product goes through its rows in tiles, whose sums stay in registers. Sizes are multiples of a grain, so that few of
// them are compiled; the rows of the last tile may be fewer, filled up with weights of zero.
constexpr int TILE = ACCUMULATORS / PARTS;
constexpr int TILE_GRAIN = TILE > 8 ? 4 : TILE > 4 && TILE % 2 == 0 ? 2 : 1;

// Size of the next tile where `left` rows are left: about equal ones, for a small tile leaves units idle.
inline int next_tile(int left) {
    const int tiles = (left + TILE - 1) / TILE, rows = (left + tiles - 1) / tiles;
    return (rows + TILE_GRAIN - 1) / TILE_GRAIN * TILE_GRAIN;
}

struct PackedLayer {
    std::vector<float> forward;                 // for each tile of the 4H gates: bias [R], then K rows of weights [R]
    std::vector<float> backward_x, backward_h;  // for each tile of the columns: 4H rows of weights [R]
};

struct Packed {
    Shape shape;
    Offsets offsets;
    const float* q;
    std::vector<PackedLayer> layers;

    Packed(const Shape& shape_, const float* q_, bool with_backward)
        : shape(shape_), offsets(shape_), q(q_), layers(shape_.L) {
        for (int l = 0; l < shape.L; ++l) {
            pack_forward(l, layers[l].forward);
            if (!with_backward) continue;
            // Without an embedding nothing below the first layer wants a gradient.
            if (l || shape.E) pack_backward(q + offsets.layers[l].w_input, shape.inputs(l), layers[l].backward_x);
            pack_backward(q + offsets.layers[l].w_hidden, shape.H, layers[l].backward_h);
        }
    }

   private:
    void pack_forward(int l, std::vector<float>& out) const {
        const int D = shape.inputs(l), H = shape.H, n_gates = GATES * H;
        const LayerOffsets& at = offsets.layers[l];
        out.reserve((D + H + 1) * (n_gates + TILE));
        for (int first = 0, tile; first < n_gates; first += tile) {
            tile = next_tile(n_gates - first);
            for (int k = -1; k < D + H; ++k)
                for (int r = first; r < first + tile; ++r) {
                    const int gate = r % GATES;
                    const int64_t row = int64_t(gate) * H + r / GATES;
                    const float weight = r >= n_gates ? 0.0f
                                         : k < 0      ? q[at.bias + row]
                                         : k < D      ? q[at.w_input + row * D + k]
                                                      : q[at.w_hidden + row * H + k - D];
                    out.push_back(GATE_SCALE[gate] * weight);
                }
        }
    }

    void pack_backward(const float* weight, int columns, std::vector<float>& out) const {
        const int H = shape.H;
        out.reserve(GATES * H * (columns + TILE));
        for (int first = 0, tile; first < columns; first += tile) {
            tile = next_tile(columns - first);
            for (int u = 0; u < H; ++u)
                for (int gate = 0; gate < GATES; ++gate)
                    for (int r = first; r < first + tile; ++r)
                        out.push_back(r < columns ? weight[(int64_t(gate) * H + u) * columns + r] : 0.0f);
        }
    }
};

// out[r] = sum_k weights[k][r] * values[k] for a tile of R rows, of which `rows` are wanted. FORWARD: on top of a bias,
// and 2^ of it, whose additions run beside the multiplications of the next tile.
template <int R, bool FORWARD>
RNNPROP_INLINE void product_tile(const float* weights, const Row* values, int K, Row* out, int rows) {
    Vec sums[R][PARTS];
#pragma GCC unroll 24
    for (int j = 0; j < R; ++j)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) sums[j][p] = broadcast(FORWARD ? weights[j] : 0.0f);
    if (FORWARD) weights += R;
    for (int k = 0; k < K; ++k, weights += R) {
        const Row value = values[k];
#pragma GCC unroll 24
        for (int j = 0; j < R; ++j)
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; ++p) sums[j][p] += weights[j] * value[p];
    }
#pragma GCC unroll 24
    for (int j = 0; j < R; ++j)
        if (j < rows)
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; ++p) out[j][p] = FORWARD ? exp2_clamped(sums[j][p]) : sums[j][p];
}

template <int R, bool FORWARD>
RNNPROP_INLINE void product_tile_of(int tile, const float* weights, const Row* values, int K, Row* out, int rows) {
    if (tile == R)
        product_tile<R, FORWARD>(weights, values, K, out, rows);
    else if constexpr (R > TILE_GRAIN)
        product_tile_of<R - TILE_GRAIN, FORWARD>(tile, weights, values, K, out, rows);
}

template <bool FORWARD>
void product(const float* weights, const Row* values, int K, Row* out, int rows) {
    for (int first = 0, tile; first < rows; first += tile) {
        tile = next_tile(rows - first);
        product_tile_of<TILE, FORWARD>(tile, weights, values, K, out + first, rows - first);
        weights += tile * (K + FORWARD);
    }
}

// One layer: (xh [K], c_old [H]) -> (c_new [H], h_new [H]). c_new may be c_old; h_new must not overlap xh.
// What the backward pass wants to know is left in gates [4H] (their activations) and tanh_c [H].
inline void forward_layer(const float* weights, const Row* xh, int K, int H, const Row* c_old, Row* c_new, Row* h_new,
                          Row* gates, Row* tanh_c) {
    product<true>(weights, xh, K, gates, GATES * H);
    for (int u = 0; u < H; ++u, gates += GATES)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            const Vec i = reciprocal(1.0f + gates[0][p]), f = reciprocal(1.0f + gates[1][p]);
            const Vec g = (1.0f - gates[2][p]) * reciprocal(1.0f + gates[2][p]);
            const Vec o = reciprocal(1.0f + gates[3][p]);
            const Vec c = f * c_old[u][p] + i * g;
            const Vec th = tanh(c);
            c_new[u][p] = c;
            h_new[u][p] = o * th;
            gates[0][p] = i;
            gates[1][p] = f;
            gates[2][p] = g;
            gates[3][p] = o;
            tanh_c[u][p] = th;
        }
}

// Adds sum_t gate_grads[t][4] (x) xh[t][C] to C partial sums, and sum_t gate_grads[t] to the bias's if BIAS.
template <int C, bool BIAS>
RNNPROP_INLINE void weight_tile(const Row* gate_grads, int gate_stride, const Row* xh, int xh_stride, int T, Vec* out,
                                Vec* bias) {
    Vec sums[GATES][C], bias_sums[GATES];
#pragma GCC unroll 4
    for (int g = 0; g < GATES; ++g) {
        bias_sums[g] = Vec{};
#pragma GCC unroll 8
        for (int j = 0; j < C; ++j) sums[g][j] = Vec{};
    }
    for (int t = 0; t < T; ++t, gate_grads += gate_stride, xh += xh_stride)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            const Vec d0 = gate_grads[0][p], d1 = gate_grads[1][p], d2 = gate_grads[2][p], d3 = gate_grads[3][p];
#pragma GCC unroll 8
            for (int j = 0; j < C; ++j) {
                const Vec x = xh[j][p];
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

constexpr int COL_TILE = ACCUMULATORS > 12 ? 5 : 2;  // columns (of 4 gates) at a time in the weight gradient

// Adds the gradient of one layer's weights over T steps to partial_sums [H][K + 1] (the last column is the bias's).
// A few units' gate gradients stay in the first-level cache while the columns of xh pass by.
inline void weight_gradient(const Row* gate_grads, const Row* xh, int T, int H, int K, Vec* partial) {
    constexpr int UNITS_IN_CACHE = 5;
    const int gate_stride = GATES * H, xh_stride = K;
    for (int first = 0; first < H; first += UNITS_IN_CACHE) {
        const int last = first + UNITS_IN_CACHE < H ? first + UNITS_IN_CACHE : H;
        for (int k = 0; k < K; k += COL_TILE)
            for (int u = first; u < last; ++u) {
                const Row* grads = gate_grads + GATES * u;
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
inline void embed(const Packed& packed, const Row* features, Row* x) {
    const Shape& s = packed.shape;
    if (!s.E) {
        for (int f = 0; f < s.F; ++f) x[f] = features[f];
        return;
    }
    const float *weight = packed.q + packed.offsets.w_embed, *bias = packed.q + packed.offsets.b_embed;
    for (int e = 0; e < s.E; ++e)
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            Vec z = broadcast(bias[e]);
            for (int f = 0; f < s.F; ++f) z += weight[e * s.F + f] * features[f][p];
            x[e][p] = elu(z);
        }
}

inline Row network_output(const Packed& packed, const Row* h) {
    const float* weight = packed.q + packed.offsets.w_out;
    const int H = packed.shape.H;
    Row output;
#pragma GCC unroll 4
    for (int p = 0; p < PARTS; ++p) {
        Vec even = broadcast(packed.q[packed.offsets.b_out]), odd = {};  // two chains: the sum waits for itself
        int u = 0;
        for (; u + 1 < H; u += 2) {
            even += weight[u] * h[u][p];
            odd += weight[u + 1] * h[u + 1][p];
        }
        if (u < H) even += weight[u] * h[u][p];
        output[p] = packed.shape.bounded ? tanh(even + odd) : even + odd;
    }
    return output;
}

}  // namespace rnnprop
