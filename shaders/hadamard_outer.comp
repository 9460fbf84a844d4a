#version 450
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// The m × m factor along the outer axis: out[a, j] = factor · Σ_b x[b, j] H[b, a] (row vectors from the right).
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) readonly buffer Base { int8_t base[]; };
layout(binding = 2) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint rows, base_order, inner; float factor; };

void main() {
  const uint order = base_order * inner;
  const uint i = gl_GlobalInvocationID.x, row = gl_WorkGroupID.y;
  if (i >= order) return;
  const uint a = i / inner, j = i % inner;
  float sum = 0.0;
  for (uint b = 0u; b < base_order; ++b) sum += x[row * order + b * inner + j] * float(int(base[b * base_order + a]));
  result[row * order + i] = sum * factor;
}
