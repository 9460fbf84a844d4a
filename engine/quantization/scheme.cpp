#include "quantization/scheme.h"

#include <array>
#include <utility>

namespace lrc {
namespace {

constexpr std::array<std::pair<NumberFormat, std::string_view>, 5> kFormats = {{{NumberFormat::integer, "int"},
                                                                                {NumberFormat::mxint, "mxint"},
                                                                                {NumberFormat::mxfp4, "mxfp4"},
                                                                                {NumberFormat::mxfp4_rounded, "mxfp4-rounded"},
                                                                                {NumberFormat::nvfp4, "nvfp4"}}};
constexpr int kBitsOfTwelve = 5;  // doubled E2M1 elements reach ±12

int bits_of(NumberFormat format, bool symmetric, int bits) {
  if (is_e2m1(format)) return kBitsOfTwelve;
  return symmetric || format != NumberFormat::integer ? bits : bits + 1;
}

}  // namespace

std::string_view name(NumberFormat format) {
  for (const auto& [known, text] : kFormats)
    if (known == format) return text;
  return "";
}

std::optional<NumberFormat> number_format(std::string_view name) {
  for (const auto& [format, text] : kFormats)
    if (text == name) return format;
  return {};
}

bool is_e2m1(NumberFormat format) {
  return format == NumberFormat::mxfp4 || format == NumberFormat::mxfp4_rounded || format == NumberFormat::nvfp4;
}

std::size_t default_block(NumberFormat format) {
  if (format == NumberFormat::integer) return 0;
  return format == NumberFormat::mxfp4 || format == NumberFormat::mxfp4_rounded ? 32 : 16;
}

int integer_bits(const WeightScheme& scheme) { return bits_of(scheme.format, scheme.symmetric, scheme.bits); }
int integer_bits(const ActivationScheme& scheme) { return bits_of(scheme.format, scheme.symmetric, scheme.bits); }

int largest_integer(const WeightScheme& scheme) {
  if (is_e2m1(scheme.format)) return 12;
  if (scheme.format == NumberFormat::mxint) return (1 << (scheme.bits - 1)) - 1;
  return scheme.symmetric ? 1 << (scheme.bits - 1) : (1 << scheme.bits) - 1;
}

}  // namespace lrc
