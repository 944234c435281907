// The names by which Python knows rules, activations, kinds of layers and number formats. It asks for their codes
// (`rnnprop_code`), so that no order has to be kept in two places.

#pragma once

#include <cstdint>
#include <cstring>

namespace rnnprop {

template <class Code>
struct Name {
    const char* name;
    Code code;
};

constexpr int32_t UNKNOWN = -1;  // what a name has for a code that is not in the table

template <class Code, size_t N>
int32_t code_of(const Name<Code> (&table)[N], const char* name) {
    for (const auto& each : table)
        if (std::strcmp(each.name, name) == 0) return int32_t(each.code);
    return UNKNOWN;
}

template <class Code, size_t N>
bool is_code(const Name<Code> (&table)[N], int64_t code) {
    for (const auto& each : table)
        if (int64_t(each.code) == code) return true;
    return false;
}

}  // namespace rnnprop
