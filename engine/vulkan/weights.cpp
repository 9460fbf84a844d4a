#include "vulkan/weights.h"

#include <algorithm>

#include "backend/checks.h"
#include "tensor/dtype.h"

namespace lrc::vulkan {
namespace {

std::shared_ptr<GpuBuffer> upload_codes(Transfer& transfer, std::vector<std::int8_t> codes) {
  codes.resize((codes.size() + 3) / 4 * 4);
  auto buffer = transfer.allocate(codes.size());
  transfer.upload(buffer, 0, std::as_bytes(std::span(codes)));
  return buffer;
}

}  // namespace

std::unique_ptr<Matrix> upload_matrix(Transfer& transfer, const MatrixF& matrix, MatrixStorage storage) {
  auto m = std::make_unique<Matrix>();
  m->out_features = matrix.rows();
  m->in_features = matrix.columns();
  m->half = storage == MatrixStorage::f16;
  m->row_words = std::uint32_t(m->half ? (matrix.columns() + 1) / 2 : matrix.columns());
  m->bytes = std::size_t(m->row_words) * 4 * matrix.rows();
  const std::size_t limit = std::min<std::size_t>(transfer.device().physical().max_buffer_range, 120u << 20);
  const std::size_t rows_in_a_part = std::max<std::size_t>(1, limit / (std::size_t(m->row_words) * 4));
  for (std::size_t first = 0; first < matrix.rows(); first += rows_in_a_part) {
    const std::size_t rows = std::min(rows_in_a_part, matrix.rows() - first);
    const auto buffer = transfer.allocate(rows * m->row_words * 4);
    if (m->half) {
      std::vector<std::uint16_t> halves(rows * m->row_words * 2, 0);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < matrix.columns(); ++c) halves[r * m->row_words * 2 + c] = float_to_half(matrix(first + r, c));
      transfer.upload(buffer, 0, std::as_bytes(std::span(halves)));
    } else {
      transfer.upload(buffer, 0, std::as_bytes(std::span(matrix.row(first), rows * matrix.columns())));
    }
    m->parts.push_back({buffer, std::uint32_t(first), std::uint32_t(rows)});
  }
  return m;
}

std::unique_ptr<QuantizedMatrix> upload_quantized(Transfer& transfer, const QuantizedWeight& weight) {
  check_weight(weight);
  auto m = std::make_unique<QuantizedMatrix>();
  m->out_features = weight.out_features;
  m->in_features = weight.in_features;
  m->group_size = weight.group_size();
  m->bits = integer_bits(weight.scheme);
  const std::vector<std::int8_t> integers = weight.integers();
  m->groups = std::uint32_t(weight.groups());
  const MatrixF scales = convert<float>(weight.scales);
  m->scales = transfer.allocate(scales.size() * 4);
  transfer.upload(m->scales, 0, std::as_bytes(scales.flat()));
  const std::size_t in = weight.in_features;
  if (m->bits <= 4 && in % 4 == 0 && (m->group_size == in || m->group_size % 8 == 0)) {
    m->row_words = std::uint32_t((in + 7) / 8);
    std::vector<std::uint32_t> words(weight.out_features * m->row_words, 0x88888888u);  // code 0 as a nibble
    for (std::size_t r = 0; r < weight.out_features; ++r)
      for (std::size_t c = 0; c < in; ++c) {
        // In a word of 8: the low nibbles of its bytes are elements 0…3, the high nibbles 4…7.
        const unsigned shift = unsigned(8 * (c % 4) + (c % 8 < 4 ? 0 : 4));
        std::uint32_t& word = words[r * m->row_words + c / 8];
        word = (word & ~(15u << shift)) | (std::uint32_t(integers[r * in + c] + 8) & 15u) << shift;
      }
    m->packed = transfer.allocate(words.size() * 4);
    transfer.upload(m->packed, 0, std::as_bytes(std::span(words)));
    m->bytes = words.size() * 4 + scales.size() * 4;
  } else {
    m->codes = upload_codes(transfer, integers);
    m->bytes = integers.size() + scales.size() * 4;
  }
  return m;
}

std::unique_ptr<Pair> upload_pair(Transfer& transfer, const LowRankPair& pair) {
  check_pair(pair);
  auto result = std::make_unique<Pair>();
  result->rank = pair.rank();
  result->out_features = pair.u.rows();
  result->in_features = pair.v.rows();
  MatrixF transposed(pair.v.columns(), pair.v.rows());
  for (std::size_t r = 0; r < transposed.rows(); ++r)
    for (std::size_t c = 0; c < transposed.columns(); ++c) transposed(r, c) = pair.v(c, r);
  result->v = upload_matrix(transfer, transposed, MatrixStorage::f16);
  result->u = upload_matrix(transfer, pair.u, MatrixStorage::f16);
  result->bytes = result->v->bytes + result->u->bytes;
  return result;
}

std::unique_ptr<Hadamard> upload_hadamard(Transfer& transfer, const HadamardOrder& hadamard) {
  check_hadamard(hadamard);
  auto result = std::make_unique<Hadamard>();
  result->order = hadamard.order;
  // H_m ⊗ H_{2^a} ⊗ H_{2^b}: what does not fit into shared memory joins the outer factor.
  std::size_t inner = hadamard.power_of_two, outer = 1;
  while (inner * 4 > std::min<std::size_t>(transfer.device().physical().max_shared_bytes, 32768)) {
    inner /= 2;
    outer *= 2;
  }
  const std::size_t m = hadamard.base_order, order = m * outer;
  std::vector<std::int8_t> base((order * order + 3) / 4 * 4, 0);
  for (std::size_t i = 0; i < order; ++i)
    for (std::size_t j = 0; j < order; ++j) {
      const int left = m == 1 ? 1 : hadamard.base[(i / outer) * m + j / outer];
      const int right = __builtin_popcountll((i % outer) & (j % outer)) % 2 == 0 ? 1 : -1;
      base[i * order + j] = std::int8_t(left * right);
    }
  result->base_order = std::uint32_t(order);
  result->inner = std::uint32_t(inner);
  result->base = transfer.allocate(base.size());
  transfer.upload(result->base, 0, std::as_bytes(std::span(base)));
  return result;
}

void unpack(Transfer& transfer, const QuantizedMatrix& matrix) {
  if (matrix.codes) return;
  std::vector<std::uint32_t> words(matrix.out_features * matrix.row_words);
  transfer.download(matrix.packed, 0, std::as_writable_bytes(std::span(words)));
  std::vector<std::int8_t> unpacked(matrix.out_features * matrix.in_features);
  for (std::size_t r = 0; r < matrix.out_features; ++r)
    for (std::size_t c = 0; c < matrix.in_features; ++c)
      unpacked[r * matrix.in_features + c] =
          std::int8_t(int(words[r * matrix.row_words + c / 8] >> (8 * (c % 4) + (c % 8 < 4 ? 0 : 4)) & 15u) - 8);
  matrix.codes = upload_codes(transfer, std::move(unpacked));
}

}  // namespace lrc::vulkan
