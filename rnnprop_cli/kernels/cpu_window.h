// Forward and backward through a window for one block of coordinates (one SIMD register of them).
//
// All that a block keeps for its T steps (about 21 KB a step with AVX-512 and H = 20) stays in the second-level
// cache: nothing but the inputs and the final sums goes to memory.

#pragma once

#include "cpu_layers.h"
#include "cpu_threads.h"

namespace rnnprop {

struct WindowInputs {
    int T;
    int64_t N;
    const float *features, *h, *c, *output_grad;  // [T, F, N], [L, H, N], [L, H, N], [T, N]
};

RNNPROP_INLINE Vec gather(const float* row, const int64_t* index, int lanes) {
    float values[LANES] = {};
    for (int lane = 0; lane < lanes; ++lane) values[lane] = row[index[lane]];
    return load(values);
}

class WindowBlock {
   public:
    WindowBlock(const Packed& packed, const WindowInputs& in)
        : packed_(packed), s_(packed.shape), in_(in), kept_(kept_size()), sums_(sums_size()) {
        const int64_t T = in.T;
        features_ = kept_.take(T * s_.F);
        output_grad_ = kept_.take(T);
        for (int l = 0; l < s_.L; ++l) {
            Kept_ layer;
            layer.xh = kept_.take((T + 1) * s_.rows(l));
            layer.c = kept_.take((T + 1) * s_.H);
            layer.gates = kept_.take(T * GATES * s_.H);
            layer.tanh_c = kept_.take(T * s_.H);
            layer.dh = kept_.take(s_.H);
            layer.dc = kept_.take(s_.H);
            layer.sums = sums_.take(int64_t(s_.H) * (s_.rows(l) + 1));
            layers_.push_back(layer);
        }
        above_ = kept_.take(s_.E > s_.H ? s_.E : s_.H);
        embed_sums_ = sums_.take(s_.E * (s_.F + 1));
        out_sums_ = sums_.take(s_.H + 1);
    }

    void clear_sums() { sums_.zero(); }

    // Adds the gradient of `lanes` <= LANES coordinates to the sums. The other lanes have no output gradient.
    void add(const int64_t* index, int lanes) {
        const int T = load_block(index, lanes);
        for (int t = 0; t < T; ++t) forward(t);
        for (int l = 0; l < s_.L; ++l)
            for (int u = 0; u < s_.H; ++u) layers_[l].dh[u] = layers_[l].dc[u] = Vec{};
        for (int t = T - 1; t >= 0; --t) backward(t);
        for (int l = 0; l < s_.L; ++l)
            weight_gradient(layers_[l].gates, layers_[l].xh, T, s_.H, s_.rows(l), layers_[l].sums);
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
    struct Kept_ {
        Vec *xh, *c;          // [T + 1][K], [T + 1][H]: the rows at t hold [x_t, h_{t-1}] and c_{t-1}
        Vec *gates, *tanh_c;  // [T][4H], which the backward pass overwrites with their gradient; [T][H]
        Vec *dh, *dc;         // [H] what flows back from step t + 1
        Vec* sums;            // [H][K + 1] partial sums of the weight gradient
    };

    int64_t kept_size() const {
        int64_t size = int64_t(in_.T) * (s_.F + 1) + (s_.E > s_.H ? s_.E : s_.H);
        for (int l = 0; l < s_.L; ++l)
            size += (in_.T + 1) * int64_t(s_.rows(l) + s_.H) + in_.T * int64_t(5 * s_.H) + 2 * s_.H;
        return size;
    }

    int64_t sums_size() const {
        int64_t size = s_.E * (s_.F + 1) + s_.H + 1;
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
            for (int lane = 0; lane < LANES; ++lane) any |= output_grad_[t][lane] != 0.0f;
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

    void forward(int t) {
        const int H = s_.H;
        embed(packed_, features_ + t * s_.F, layers_[0].xh + t * s_.rows(0));
        for (int l = 0; l < s_.L; ++l) {
            const int D = s_.inputs(l), K = D + H;
            const Kept_& k = layers_[l];
            Vec* h = k.xh + (t + 1) * K + D;
            forward_layer<true>(packed_.layers[l].forward.data(), k.xh + t * K, K, H, k.c + t * H, k.c + (t + 1) * H, h,
                                Kept{k.gates + t * GATES * H, k.tanh_c + t * H});
            if (l + 1 < s_.L) {
                Vec* next = layers_[l + 1].xh + t * s_.rows(l + 1);
                for (int u = 0; u < H; ++u) next[u] = h[u];
            }
        }
    }

    void backward(int t) {
        const int H = s_.H;
        const Kept_& top = layers_[s_.L - 1];
        const Vec* h = top.xh + (t + 1) * s_.rows(s_.L - 1) + s_.inputs(s_.L - 1);
        Vec grad = output_grad_[t];
        if (s_.bounded) {
            const Vec y = network_output(packed_, h);
            grad *= 1.0f - y * y;
        }
        const float* w_out = packed_.q + packed_.offsets.w_out;
        for (int u = 0; u < H; ++u) {
            above_[u] = w_out[u] * grad;
            out_sums_[u] += grad * h[u];
        }
        out_sums_[H] += grad;
        for (int l = s_.L - 1; l >= 0; --l) {
            gate_gradients(l, t);
            const PackedLayer& weights = packed_.layers[l];
            const Vec* gate_grads = layers_[l].gates + t * GATES * H;
            if (l || s_.E) backward_product(weights.backward_x.data(), gate_grads, GATES * H, above_, s_.inputs(l));
            if (t) backward_product(weights.backward_h.data(), gate_grads, GATES * H, layers_[l].dh, H);
        }
        if (s_.E) embed_gradient(t);
    }

    // Turns the gate activations at t into the gradient with respect to the sums in front of them.
    void gate_gradients(int l, int t) {
        const int H = s_.H;
        const Kept_& k = layers_[l];
        Vec* gates = k.gates + t * GATES * H;
        const Vec *tanh_c = k.tanh_c + t * H, *c_old = k.c + t * H;
        for (int u = 0; u < H; ++u) {
            const Vec i = gates[4 * u], f = gates[4 * u + 1], g = gates[4 * u + 2], o = gates[4 * u + 3];
            const Vec dh = above_[u] + k.dh[u], th = tanh_c[u];
            const Vec dc = k.dc[u] + dh * o * (1.0f - th * th);
            k.dc[u] = dc * f;
            gates[4 * u] = dc * g * (i * (1.0f - i));
            gates[4 * u + 1] = dc * c_old[u] * (f * (1.0f - f));
            gates[4 * u + 2] = dc * i * (1.0f - g * g);
            gates[4 * u + 3] = dh * th * (o * (1.0f - o));
        }
    }

    void embed_gradient(int t) {
        const Vec *x = layers_[0].xh + t * s_.rows(0), *features = features_ + t * s_.F;
        for (int e = 0; e < s_.E; ++e) {
            const Vec slope = x[e] > 0.0f ? broadcast(1.0f) : x[e] + 1.0f;  // ELU'(z) = exp(z) = x + 1 for z <= 0
            const Vec grad = above_[e] * slope;
            Vec* row = embed_sums_ + e * (s_.F + 1);
            for (int f = 0; f < s_.F; ++f) row[f] += grad * features[f];
            row[s_.F] += grad;
        }
    }

    const Packed& packed_;
    const Shape s_;
    const WindowInputs& in_;
    Scratch kept_, sums_;
    Vec *features_, *output_grad_, *above_, *embed_sums_, *out_sums_;
    std::vector<Kept_> layers_;
};

}  // namespace rnnprop
