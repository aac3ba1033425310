#include "t.hpp"
int main(int c,char**v){
 std::printf("read %.1f GB/s\n",read_bw());
 bench<a8<qp::w8_channel>>("w8a8",c,v);
 bench<a8<qp::w4_channel>>("w4a8_ch",c,v);
 bench<a8<qp::w4_g128>>("w4a8_g128",c,v);
 bench<a8<qp::w4_g32>>("w4a8_g32",c,v);
 bench<a8<qp::ternary_channel>>("ternary_a8",c,v);
 bench<qp::recipe<>>("f32",c,v);
 bench<qp::recipe<qp::weight<qp::bf16>>>("bf16",c,v);
 bench<qp::w4_g32>("w4a32_g32",c,v);
 bench<qp::nf4_g64>("nf4",c,v);
 bench<qp::fp8_e4m3_channel>("fp8",c,v);
 std::printf("read %.1f GB/s\n",read_bw());
}
