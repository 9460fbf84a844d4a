#version 450
// The fast Walsh–Hadamard transform along the inner axis: one workgroup takes `length` = 2^p neighbours (at most 8192: 32 KiB).
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint LENGTH = 16;
layout(binding = 0) buffer X { float x[]; };
layout(push_constant) uniform Push { uint blocks; float factor; };
shared float values[LENGTH];

void main() {
  const uint lane = gl_LocalInvocationID.x;
  const uint block = gl_WorkGroupID.x + gl_WorkGroupID.y * gl_NumWorkGroups.x;
  if (block >= blocks) return;
  const uint begin = block * LENGTH;
  for (uint i = lane; i < LENGTH; i += 64u) values[i] = x[begin + i];
  barrier();
  for (uint half_size = 1u; half_size < LENGTH; half_size <<= 1) {
    for (uint i = lane; i < LENGTH / 2u; i += 64u) {
      const uint at = (i / half_size) * 2u * half_size + (i % half_size);
      const float a = values[at], b = values[at + half_size];
      values[at] = a + b;
      values[at + half_size] = a - b;
    }
    barrier();
  }
  for (uint i = lane; i < LENGTH; i += 64u) x[begin + i] = values[i] * factor;
}
