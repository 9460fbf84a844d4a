#version 450
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// What quantized activations stand for: number · scale of the group.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Codes { int8_t codes[]; };
layout(binding = 1) readonly buffer Scales { float scales[]; };
layout(binding = 2) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint count, group_size; };

void main() {
  for (uint i = gl_GlobalInvocationID.x; i < count; i += gl_NumWorkGroups.x * 64u) y[i] = float(int(codes[i])) * scales[i / group_size];
}
