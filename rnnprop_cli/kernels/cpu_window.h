// Forward and backward through a window for one block of coordinates.
//
// All that a block keeps for its T steps (about 21 KB a step with H = 20) stays in or near the second-level cache:
// nothing but the inputs and the final sums goes to memory. A layer is taken through all steps before the next one, so
// that its weights stay in the first-level cache; and the way back begins with what the way forth has left last.

#pragma once

#include "cpu_layers.h"
#include "cpu_threads.h"

namespace rnnprop {

struct WindowInputs {
    int T;
    int64_t N;
    const float *features, *h, *c, *output_grad;  // [T, F, N], [L, H, N], [L, H, N], [T, N]
};

RNNPROP_INLINE Row gather(const float* row, const int64_t* index, int lanes) {
    float values[BLOCK] = {};
    for (int lane = 0; lane < lanes; ++lane) values[lane] = row[index[lane]];
    return load_row(values);
}

class WindowBlock {
   public:
    WindowBlock(const Packed& packed, const WindowInputs& in)
        : packed_(packed), s_(packed.shape), in_(in), kept_(kept_size()), sums_(sums_size()) {
        const int64_t T = in.T;
        features_ = kept_.take_rows(T * s_.F);
        output_grad_ = kept_.take_rows(T);
        for (int l = 0; l < s_.L; ++l) {
            Layer layer;
            layer.xh = kept_.take_rows((T + 1) * s_.rows(l));
            layer.c = kept_.take_rows((T + 1) * s_.H);
            layer.gates = kept_.take_rows(T * GATES * s_.H);
            layer.tanh_c = kept_.take_rows(T * s_.H);
            layer.sums = sums_.take(int64_t(s_.H) * (s_.rows(l) + 1));
            layers_.push_back(layer);
        }
        dh_ = kept_.take_rows(s_.H);
        dc_ = kept_.take_rows(s_.H);
        dx_ = kept_.take_rows(std::max(s_.E, s_.H));
        embed_sums_ = sums_.take_rows(s_.E * (s_.F + 1));
        out_sums_ = sums_.take_rows(s_.H + 1);
    }

    void clear_sums() { sums_.zero(); }

    // Adds the gradient of `lanes` <= BLOCK coordinates to the sums. The other lanes have no output gradient.
    void add(const int64_t* index, int lanes) {
        const int T = load_block(index, lanes);
        for (int t = 0; t < T; ++t) embed(packed_, features_ + t * s_.F, layers_[0].xh + t * s_.rows(0));
        for (int l = 0; l < s_.L; ++l)
            for (int t = 0; t < T; ++t) forward(l, t);
        for (int l = s_.L - 1; l >= 0; --l) {
            const Layer& k = layers_[l];
            for (int u = 0; u < s_.H; ++u) dh_[u] = dc_[u] = Row{};
            for (int t = T - 1; t >= 0; --t) backward(l, t);
            weight_gradient(k.gates, k.xh, T, s_.H, s_.rows(l), k.sums);
        }
    }

    // Writes the sums over the lanes as flat meta-params.
    void finish(float* grad) const {
        const int H = s_.H;
        for (int l = 0; l < s_.L; ++l) {
            const int D = s_.inputs(l), K = D + H;
            const LayerOffsets& at = packed_.offsets.layers[l];
            for (int u = 0; u < H; ++u)
                for (int k = 0; k <= K; ++k) {
                    float sums[GATES];
                    finish_sums(layers_[l].sums[int64_t(u) * (K + 1) + k], sums);
                    for (int gate = 0; gate < GATES; ++gate) {
                        const int64_t row = int64_t(gate) * H + u;
                        float* target = k == K  ? grad + at.bias + row
                                        : k < D ? grad + at.w_input + row * D + k
                                                : grad + at.w_hidden + row * H + k - D;
                        *target = sums[gate];
                    }
                }
        }
        for (int e = 0; e < s_.E; ++e) {
            for (int f = 0; f < s_.F; ++f)
                grad[packed_.offsets.w_embed + e * s_.F + f] = sum_lanes(embed_sums_[e * (s_.F + 1) + f]);
            grad[packed_.offsets.b_embed + e] = sum_lanes(embed_sums_[e * (s_.F + 1) + s_.F]);
        }
        for (int u = 0; u < H; ++u) grad[packed_.offsets.w_out + u] = sum_lanes(out_sums_[u]);
        grad[packed_.offsets.b_out] = sum_lanes(out_sums_[H]);
    }

   private:
    struct Layer {
        Row *xh, *c;  // [T + 1][K], [T + 1][H]: the rows at t hold [x_t, h_{t-1}] and c_{t-1}
        Row* gates;   // [T][4H] activations, which the way back overwrites with their gradient
        Row* tanh_c;  // [T][H], which the way back overwrites: see `above`
        Vec* sums;    // [H][K + 1] partial sums of the weight gradient
    };

    int64_t kept_size() const {
        int64_t size = int64_t(in_.T) * (s_.F + 1) + 2 * s_.H + std::max(s_.E, s_.H);
        for (int l = 0; l < s_.L; ++l)
            size += (in_.T + 1) * int64_t(s_.rows(l) + s_.H) + in_.T * int64_t((GATES + 1) * s_.H);
        return size * PARTS;
    }

    int64_t sums_size() const {
        int64_t size = PARTS * (s_.E * (s_.F + 1) + s_.H + 1);
        for (int l = 0; l < s_.L; ++l) size += int64_t(s_.H) * (s_.rows(l) + 1);
        return size;
    }

    // Loads the block and returns the number of steps up to the last one with an output gradient.
    int load_block(const int64_t* index, int lanes) {
        const int64_t N = in_.N;
        int T = 0;
        for (int t = 0; t < in_.T; ++t) {
            output_grad_[t] = gather(in_.output_grad + t * N, index, lanes);
            bool any = false;
            for (int lane = 0; lane < lanes; ++lane) any |= in_.output_grad[t * N + index[lane]] != 0.0f;
            if (any) T = t + 1;
        }
        for (int64_t row = 0; row < int64_t(T) * s_.F; ++row)
            features_[row] = gather(in_.features + row * N, index, lanes);
        for (int l = 0; l < s_.L; ++l)
            for (int u = 0; u < s_.H; ++u) {
                const int64_t row = int64_t(l) * s_.H + u;
                layers_[l].xh[s_.inputs(l) + u] = gather(in_.h + row * N, index, lanes);
                layers_[l].c[u] = gather(in_.c + row * N, index, lanes);
            }
        return T;
    }

    void forward(int l, int t) {
        const int H = s_.H, D = s_.inputs(l), K = D + H;
        const Layer& k = layers_[l];
        Row* h = k.xh + (t + 1) * K + D;
        forward_layer(packed_.layers[l].forward.data(), k.xh + t * K, K, H, k.c + t * H, k.c + (t + 1) * H, h,
                      k.gates + t * GATES * H, k.tanh_c + t * H);
        if (l + 1 < s_.L) std::copy(h, h + H, layers_[l + 1].xh + t * s_.rows(l + 1));
    }

    void backward(int l, int t) {
        const int H = s_.H;
        const Layer& k = layers_[l];
        const PackedLayer& weights = packed_.layers[l];
        gate_gradients(k, t, l + 1 < s_.L ? layers_[l + 1].tanh_c + t * H : output_gradient(t));
        const Row* gate_grads = k.gates + t * GATES * H;
        if (t) product<false>(weights.backward_h.data(), gate_grads, GATES * H, dh_, H);
        if (l) {  // for the layer below, which comes when this one is through
            product<false>(weights.backward_x.data(), gate_grads, GATES * H, k.tanh_c + t * H, H);
        } else if (s_.E) {
            product<false>(weights.backward_x.data(), gate_grads, GATES * H, dx_, s_.E);
            embed_gradient(t);
        }
    }

    // The gradient with respect to the last layer's outputs [H]; adds that of the output's weights to its sums.
    const Row* output_gradient(int t) {
        const int l = s_.L - 1, H = s_.H;
        const Row* h = layers_[l].xh + (t + 1) * s_.rows(l) + s_.inputs(l);
        const float* w_out = packed_.q + packed_.offsets.w_out;
        Row grad = output_grad_[t];
        const Row y = s_.bounded ? network_output(packed_, h) : Row{};
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; ++p) {
            grad[p] *= 1.0f - y[p] * y[p];
            for (int u = 0; u < H; ++u) {
                dx_[u][p] = w_out[u] * grad[p];
                out_sums_[u][p] += grad[p] * h[u][p];
            }
            out_sums_[H][p] += grad[p];
        }
        return dx_;
    }

    // Turns the gate activations at t into the gradient with respect to the sums in front of them.
    void gate_gradients(const Layer& k, int t, const Row* above) {
        const int H = s_.H;
        Row* gates = k.gates + t * GATES * H;
        const Row *tanh_c = k.tanh_c + t * H, *c_old = k.c + t * H;
        for (int u = 0; u < H; ++u, gates += GATES)
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; ++p) {
                const Vec i = gates[0][p], f = gates[1][p], g = gates[2][p], o = gates[3][p];
                const Vec dh = above[u][p] + dh_[u][p], th = tanh_c[u][p];
                const Vec dc = dc_[u][p] + dh * o * (1.0f - th * th);
                dc_[u][p] = dc * f;
                gates[0][p] = dc * g * (i * (1.0f - i));
                gates[1][p] = dc * c_old[u][p] * (f * (1.0f - f));
                gates[2][p] = dc * i * (1.0f - g * g);
                gates[3][p] = dh * th * (o * (1.0f - o));
            }
    }

    void embed_gradient(int t) {
        const Row *x = layers_[0].xh + t * s_.rows(0), *features = features_ + t * s_.F;
        for (int e = 0; e < s_.E; ++e)
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; ++p) {
                const Vec value = x[e][p];
                const Vec slope = value > 0.0f ? broadcast(1.0f) : value + 1.0f;  // ELU'(z) = exp(z) = x + 1 for z <= 0
                const Vec grad = dx_[e][p] * slope;
                Row* row = embed_sums_ + e * (s_.F + 1);
                for (int f = 0; f < s_.F; ++f) row[f][p] += grad * features[f][p];
                row[s_.F][p] += grad;
            }
    }

    const Packed& packed_;
    const Shape s_;
    const WindowInputs& in_;
    Scratch kept_, sums_;
    Row *features_, *output_grad_, *embed_sums_, *out_sums_;
    Row *dh_, *dc_, *dx_;  // [H] and [H] what flows back from step t + 1; [E or H] to the inputs
    std::vector<Layer> layers_;
};

}  // namespace rnnprop
