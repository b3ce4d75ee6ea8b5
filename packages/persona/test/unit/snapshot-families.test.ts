import t from 'tap'
import { carriesInquiryId, familyOf, isRedactable } from '../../src/snapshot.ts'

t.test('the family of a type is the table of its rows, and which types carry an inquiry id is listed', async (t) => {
  const types = [
    ['inquiry', 'inquiry', false],
    ['verification', 'verification', true],
    ['verification/selfie', 'verification', true],
    ['verification/government-id-nfc', 'verification', true],
    ['verification/a/b', 'verification', true],
    ['report', 'resource', true],
    ['report/crypto_address', 'resource', true],
    ['document', 'resource', true],
    ['document/generic', 'resource', true],
    ['selfie', 'resource', true],
    ['selfie/profile-and-center', 'resource', true],
    ['inquiry-session', 'resource', true],
    ['session', 'resource', true],
    ['session/x', 'resource', false],
    ['inquiry/one-time-link', 'resource', false],
    ['inquiry-template', 'resource', false],
    ['verification-template/selfie', 'resource', false],
    ['verifications', 'resource', false],
    ['report-template/x', 'resource', false],
    ['account', 'resource', false],
    ['case', 'resource', false],
    ['transaction', 'resource', false],
    ['device', 'resource', false],
    ['Inquiry', 'resource', false],
    ['VERIFICATION/selfie', 'resource', false],
    ['constructor', 'resource', false],
    ['', 'resource', false],
    [null, 'resource', false],
  ] as const
  for (const [type, family, carries] of types) {
    t.equal(familyOf(type), family, `family of ${type}`)
    t.equal(carriesInquiryId(type), carries, `inquiry id of ${type}`)
    t.equal(isRedactable(type), ['inquiry', 'account', 'transaction', 'case'].includes(`${type}`), `${type} redacted`)
  }
})
