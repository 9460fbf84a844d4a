// y (tokens, out) = Ŵ · activations, integer dots per common sub-group, then scales. Weights: code + 8 as unsigned nibbles, 8 to a
// word (low nibbles: elements 0…3, high nibbles: 4…7), rows padded with zero weight to whole words. Activations: int8 read as
// words, so the width is a multiple of 4; a last half word is masked.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Weight { uint weight[]; };
layout(binding = 1) readonly buffer WeightScales { float weight_scales[]; };
layout(binding = 2) readonly buffer Codes { uint codes[]; };
layout(binding = 3) readonly buffer Scales { float scales[]; };
layout(binding = 4) writeonly buffer Y { float y[]; };
// sub_words: words of a sub-group that shares both scales; *_subs: sub-groups in a group of that side.
layout(push_constant) uniform Push { uint rows, row_words, code_words, tokens, sub_words, weight_subs, activation_subs, weight_groups, activation_groups; };
shared float partial[64 * 8];
shared int partial_int[64 * 8];

#ifdef INTEGER_DOT
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int sdot4(int a, int b, spirv_literal int format);
int dot4(uint a, uint b) { return sdot4(int(a), int(b), 0); }
#else
int dot4(uint a, uint b) {
  const int p = int(a), q = int(b);
  return bitfieldExtract(p, 0, 8) * bitfieldExtract(q, 0, 8) + bitfieldExtract(p, 8, 8) * bitfieldExtract(q, 8, 8) +
         bitfieldExtract(p, 16, 8) * bitfieldExtract(q, 16, 8) + bitfieldExtract(p, 24, 8) * bitfieldExtract(q, 24, 8);
}
#endif

int dot_word(uint packed, uint token_begin, uint w) {
  const uint low = codes[token_begin + 2u * w];
  const uint high = 2u * w + 1u < code_words ? codes[token_begin + 2u * w + 1u] : 0u;
  const uint ones = 0x01010101u;
  return dot4(packed & 0x0F0F0F0Fu, low) + dot4((packed >> 4) & 0x0F0F0F0Fu, high) - 8 * (dot4(ones, low) + dot4(ones, high));
}

void main() {
  const uint lane = gl_LocalInvocationID.x & 15u, slot = gl_LocalInvocationID.x >> 4;
  const uint row = gl_WorkGroupID.x * 4u + slot;
  const uint first_token = gl_WorkGroupID.y * 8u;
  const uint count = min(8u, tokens - first_token);
  const uint subs = (row_words + sub_words - 1u) / sub_words;
  float sum[8] = float[8](0, 0, 0, 0, 0, 0, 0, 0);
  int whole[8] = int[8](0, 0, 0, 0, 0, 0, 0, 0);
  if (row < rows) {
    if (subs == 1u) {  // one scale on each side: the integer sum of the whole row stays exact
      for (uint w = lane; w < row_words; w += 16u) {
        const uint packed = weight[row * row_words + w];
        for (uint t = 0u; t < count; ++t) whole[t] += dot_word(packed, (first_token + t) * code_words, w);
      }
    } else {
      for (uint s = lane; s < subs; s += 16u) {
        int dots[8] = int[8](0, 0, 0, 0, 0, 0, 0, 0);
        for (uint w = s * sub_words; w < min(row_words, (s + 1u) * sub_words); ++w) {
          const uint packed = weight[row * row_words + w];
          for (uint t = 0u; t < count; ++t) dots[t] += dot_word(packed, (first_token + t) * code_words, w);
        }
        const float weight_scale = weight_scales[row * weight_groups + s / weight_subs];
        for (uint t = 0u; t < count; ++t)
          sum[t] += float(dots[t]) * (weight_scale * scales[(first_token + t) * activation_groups + s / activation_subs]);
      }
    }
  }
  for (uint t = 0u; t < 8u; ++t) {
    partial[t * 64u + gl_LocalInvocationID.x] = sum[t];
    partial_int[t * 64u + gl_LocalInvocationID.x] = whole[t];
  }
  barrier();
  if (gl_LocalInvocationID.x < 32u) {
    const uint t = gl_LocalInvocationID.x >> 2, r = gl_LocalInvocationID.x & 3u;
    const uint out_row = gl_WorkGroupID.x * 4u + r;
    if (t < count && out_row < rows) {
      float total = 0.0;
      int exact = 0;
      for (uint l = 0u; l < 16u; ++l) {
        total += partial[t * 64u + r * 16u + l];
        exact += partial_int[t * 64u + r * 16u + l];
      }
      if (subs == 1u) total = float(exact) * (weight_scales[out_row * weight_groups] * scales[(first_token + t) * activation_groups]);
      y[(first_token + t) * rows + out_row] = total;
    }
  }
}
