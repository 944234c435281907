// Reads problems and the reference's answers, computes them, and prints the relative errors: how the kernel is tested
// where Python is not, as under an emulator. Input, all float32 but the sizes (int32):
//   F, E, H, L, bounded, T, N, then q, features [T, F, N], h, c, output_grad [T, N] and the true h', c', output, gradient.

#include <cstdio>

#include "cpu.cpp"

namespace {

std::vector<float> read_floats(int64_t count) {
    std::vector<float> values(count);
    if (std::fread(values.data(), sizeof(float), count, stdin) != size_t(count)) std::exit(2);
    return values;
}

double error(const std::vector<float>& got, const std::vector<float>& truth) {
    double apart = 0, size = 0;
    for (size_t j = 0; j < truth.size(); ++j) {
        apart += (double(got[j]) - truth[j]) * (double(got[j]) - truth[j]);
        size += double(truth[j]) * truth[j];
    }
    return std::sqrt(apart / size);
}

}  // namespace

int main() {
    int32_t sizes[7];
    while (std::fread(sizes, sizeof(int32_t), 7, stdin) == 7) {
        const Shape shape{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0};
        const int64_t T = sizes[5], N = sizes[6], Q = Offsets(shape).total, state = int64_t(shape.L) * shape.H * N;
        const auto q = read_floats(Q), features = read_floats(T * shape.F * N), h = read_floats(state);
        const auto c = read_floats(state), output_grad = read_floats(T * N);
        const auto true_h = read_floats(state), true_c = read_floats(state), true_output = read_floats(N);
        const auto true_grad = read_floats(Q);
        std::vector<float> h_new(state), c_new(state), output(N), grad(Q);
        const int failed = rnnprop_step(sizes, N, 2, q.data(), features.data(), h.data(), c.data(), h_new.data(),
                                        c_new.data(), output.data(), nullptr) |
                           rnnprop_window_gradient(sizes, int32_t(T), N, 2, q.data(), features.data(), h.data(),
                                                   c.data(), output_grad.data(), grad.data());
        if (failed) return 1;
        std::printf("%d %g %g %g %g\n", LANES, error(h_new, true_h), error(c_new, true_c), error(output, true_output),
                    error(grad, true_grad));
    }
}
