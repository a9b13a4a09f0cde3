// The proofs of the handshake: they hold for one Hello, one pair of nonces and one direction only.
#include "common/auth/handshake.h"

#include "common/base/text.h"

#include <gtest/gtest.h>

namespace cairn::auth {

namespace {

wire::View bytes(std::string_view text) {
  return wire::as_view(text);
}

SecretList secrets(std::initializer_list<std::string> texts) {
  SecretList list;
  for (const std::string& text : texts) list.emplace_back(text);
  return list;
}

const std::string kSecret(32, 's');

} // namespace

TEST(Crypto, KnownVectors) {
  // RFC 4231, test case 2.
  EXPECT_EQ(hex_encode(hmac_sha256(bytes("Jefe"), bytes("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex_encode(sha256(bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Crypto, WhatIsSealedOpensUnderTheSameSecretAndPurposeOnly) {
  const wire::Bytes sealed = seal(bytes(kSecret), "a", bytes("plain"));
  const auto opened = unseal(bytes(kSecret), "a", sealed);
  ASSERT_TRUE(opened);
  EXPECT_EQ(wire::as_text(*opened), "plain");
  EXPECT_FALSE(unseal(bytes(kSecret), "b", sealed));
  EXPECT_FALSE(unseal(bytes(std::string(32, 't')), "a", sealed));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    wire::Bytes altered = sealed;
    altered[i] ^= std::byte{1};
    EXPECT_FALSE(unseal(bytes(kSecret), "a", altered)) << i;
    EXPECT_FALSE(unseal(bytes(kSecret), "a", wire::View(sealed).first(i))) << i;
  }
  EXPECT_NE(seal(bytes(kSecret), "a", bytes("plain")), sealed);
}

TEST(Handshake, BothSidesProve) {
  const Transcript transcript(bytes("hello"), bytes("nonce"), {});
  const Mac client = transcript.client_mac(bytes(kSecret));
  EXPECT_EQ(transcript.check_client(secrets({kSecret}), client), 0U);
  Proved proved;
  proved.identity = wire::to_bytes("server 1");
  const Mac server = transcript.server_mac(bytes(kSecret), client, proved.identity);
  proved.mac.assign(server.begin(), server.end());
  EXPECT_TRUE(transcript.check_server(bytes(kSecret), client, proved));
  // The identity is proved too.
  proved.identity = wire::to_bytes("server 2");
  EXPECT_FALSE(transcript.check_server(bytes(kSecret), client, proved));
}

TEST(Handshake, NothingFitsAnotherConnection) {
  const Mac mac = Transcript(bytes("hello"), bytes("nonce"), {}).client_mac(bytes(kSecret));
  const SecretList live = secrets({kSecret});
  EXPECT_FALSE(Transcript(bytes("hello"), bytes("other"), {}).check_client(live, mac));
  EXPECT_FALSE(Transcript(bytes("hallo"), bytes("nonce"), {}).check_client(live, mac));
  EXPECT_FALSE(Transcript(bytes("hello"), bytes("nonce"), bytes("tls")).check_client(live, mac));
  // The border between the parts counts.
  EXPECT_FALSE(Transcript(bytes("hellon"), bytes("once"), {}).check_client(live, mac));
}

TEST(Handshake, AProofOfOneSideIsNoneOfTheOther) {
  const Transcript transcript(bytes("hello"), bytes("nonce"), {});
  const Mac client = transcript.client_mac(bytes(kSecret));
  Proved reflected;
  reflected.mac.assign(client.begin(), client.end());
  EXPECT_FALSE(transcript.check_server(bytes(kSecret), client, reflected));
  const Mac server = transcript.server_mac(bytes(kSecret), client, {});
  EXPECT_FALSE(transcript.check_client(secrets({kSecret}), server));
}

TEST(Handshake, AlteredOrCutProofsFail) {
  const Transcript transcript(bytes("hello"), bytes("nonce"), {});
  const Mac mac = transcript.client_mac(bytes(kSecret));
  const SecretList live = secrets({kSecret});
  for (std::size_t bit = 0; bit < mac.size() * 8; ++bit) {
    Mac altered = mac;
    altered[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(transcript.check_client(live, altered)) << bit;
  }
  for (std::size_t size = 0; size < mac.size(); ++size)
    EXPECT_FALSE(transcript.check_client(live, wire::View(mac).first(size))) << size;
  EXPECT_FALSE(transcript.check_client({}, mac));
}

TEST(Handshake, TwoSecretsLiveDuringARotation) {
  const std::string fresh(32, 'n');
  const Transcript transcript(bytes("hello"), bytes("nonce"), {});
  const SecretList both = secrets({fresh, kSecret});
  EXPECT_EQ(transcript.check_client(both, transcript.client_mac(bytes(kSecret))), 1U);
  EXPECT_EQ(transcript.check_client(both, transcript.client_mac(bytes(fresh))), 0U);
  EXPECT_FALSE(transcript.check_client(secrets({fresh}), transcript.client_mac(bytes(kSecret))));
}

TEST(Handshake, NoncesAreFresh) {
  EXPECT_EQ(make_nonce().size(), kNonceSize);
  EXPECT_NE(make_nonce(), make_nonce());
}

} // namespace cairn::auth
